package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// Supported asks the kernel.
func Supported() Support {
	const version = 1                                                              // LANDLOCK_CREATE_RULESET_VERSION
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, version) // no rules, no size
	if errno != 0 {
		return Support{}
	}
	return Support{Level: int(abi), Filter: filterable()} //nolint:gosec // a small number
}

// Exec enters the sandbox and becomes the plugin; it returns only when it cannot. args are what follows Verb. Each
// step that fails ends it: no plugin starts in half a sandbox.
func Exec(args []string) error {
	spec, argv, err := parse(args)
	if err != nil {
		return err
	}
	runtime.LockOSThread() // this thread becomes the plugin
	program := cmp.Or(spec.Program, Descriptor)
	if spec.Command {
		if program, err = exec.LookPath(argv[0]); err != nil {
			return fmt.Errorf("cannot run the command: %w", err)
		}
	}
	if spec.MarkOnly {
		if err := set("mark", marks, spec.Mark); err != nil {
			return err
		}
		err = syscall.Exec(program, argv, os.Environ()) //nolint:gosec // the operator named it
		return fmt.Errorf("cannot run the plugin %s: %w", argv[0], err)
	}
	if err := limit(spec); err != nil {
		return err
	}
	if err := restrict(spec); err != nil {
		return err
	}
	if spec.Command {
		err = syscall.Exec(program, argv, os.Environ()) //nolint:gosec // the host named it
		return fmt.Errorf("cannot run the command %s: %w", argv[0], err)
	}
	if err := drop(); err != nil {
		return err
	}
	heard := false
	if spec.Watched {
		if heard, err = announce(spec.Network); err != nil {
			return err
		}
	}
	if !spec.Unfiltered {
		if err := deny(spec.Network, heard); err != nil {
			return err
		}
	}
	err = syscall.Exec(program, argv, os.Environ()) //nolint:gosec // the host opened and checked it
	return fmt.Errorf("cannot run the plugin %s: %w", argv[0], err)
}

// limit sets the limits of the process, which its children inherit. The filter refuses to change them.
func limit(s Spec) error {
	all, err := tasks()
	if err != nil {
		return fmt.Errorf("cannot limit the plugin's processes: %w", err)
	}
	for _, l := range []struct {
		name  string
		what  int
		value uint64
	}{
		{"core", unix.RLIMIT_CORE, 0},
		{"open files", unix.RLIMIT_NOFILE, s.OpenFiles},
		{"file size", unix.RLIMIT_FSIZE, s.FileSize},
		// The kernel counts all processes and threads of the user, so those that live now come on top.
		{"processes", unix.RLIMIT_NPROC, all + mostTasks},
		// Private memory that can be written, of each process: the address space would count what Go and Node only
		// reserve.
		{"memory", unix.RLIMIT_DATA, s.Memory},
		{"mark", marks, s.Mark},
	} {
		if l.value == 0 && l.what != unix.RLIMIT_CORE {
			continue
		}
		if err := set(l.name, l.what, l.value); err != nil {
			return err
		}
	}
	return nil
}

func set(name string, what int, value uint64) error {
	var now unix.Rlimit
	if err := unix.Getrlimit(what, &now); err != nil {
		return fmt.Errorf("cannot limit the plugin's %s: %w", name, err)
	}
	if what == marks && now.Max < value {
		return errors.New("cannot mark the plugin's processes: a limit of file locks is set for the host; remove it")
	}
	value = min(value, now.Max) // a limit of the host itself stays
	// By syscall, and not by os or unix: Go restores for a child the limit of open files that the process began with.
	if err := syscall.Setrlimit(what, &syscall.Rlimit{Cur: value, Max: value}); err != nil {
		return fmt.Errorf("cannot limit the plugin's %s: %w", name, err)
	}
	return nil
}

// mostTasks is how many processes and threads a plugin may have in addition to all that its user had when it began.
// The host ends a plugin with fewer; this is for a bomb, between two of its looks.
const mostTasks = 4096

// tasks counts the processes and threads of all users: those of one are not more.
func tasks() (uint64, error) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text)) // three loads, running/all, the last pid
	if len(fields) < 4 {
		return 0, fmt.Errorf("/proc/loadavg is %q", text)
	}
	_, all, _ := strings.Cut(fields[3], "/")
	return strconv.ParseUint(all, 10, 64)
}

// restrict applies what landlock can deny at this kernel's level.
func restrict(s Spec) error {
	if !Supported().OK() {
		return errors.New("cannot sandbox the plugin: this kernel has no landlock")
	}
	read, write := System()
	mayWrite := landlock.RWDirs
	if s.Command && Supported().Level >= 2 { // a command may move files between the directories that it may write
		mayWrite = func(paths ...string) landlock.FSRule { return landlock.RWDirs(paths...).WithRefer() }
	}
	var rules []landlock.Rule
	for _, set := range []struct {
		paths      []string
		dirs, file func(...string) landlock.FSRule
	}{
		{append(read, s.Read...), landlock.RODirs, landlock.ROFiles},
		{append(write, s.Write...), mayWrite, landlock.RWFiles},
		{s.List, listDirs, listDirs},
	} {
		for _, path := range set.paths {
			rule, err := ruleOf(path, set.dirs, set.file)
			if err != nil {
				return err
			}
			rules = append(rules, rule...)
		}
	}
	// The plugin itself, by its descriptor: its path may lead to another file by now.
	if !s.Command {
		rules = append(rules, landlock.ROFiles(Descriptor))
	}
	rights := levels(s.Level).BestEffort()
	if !s.Network {
		if err := rights.Restrict(rules...); err != nil {
			return fmt.Errorf("cannot sandbox the plugin: %w", err)
		}
		return nil
	}
	if err := rights.RestrictPaths(rules...); err != nil {
		return fmt.Errorf("cannot sandbox the plugin: %w", err)
	}
	if err := rights.RestrictScoped(); err != nil {
		return fmt.Errorf("cannot sandbox the plugin: %w", err)
	}
	return nil
}

// levels returns what landlock denies at most; the kernel's own level bounds it as well.
func levels(most int) landlock.Config {
	all := []landlock.Config{
		landlock.V1, landlock.V2, landlock.V3, landlock.V4, landlock.V5, landlock.V6, landlock.V7,
	}
	if most < 1 || most > len(all) {
		most = len(all)
	}
	return all[most-1]
}

// listDirs allows to see names, and nothing else.
func listDirs(paths ...string) landlock.FSRule {
	return landlock.PathAccess(landlock.AccessFSSet(unix.LANDLOCK_ACCESS_FS_READ_DIR), paths...)
}

// ruleOf returns the rule for one path, as what it is now; none for a path that does not exist.
func ruleOf(path string, dirs, files func(...string) landlock.FSRule) ([]landlock.Rule, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return nil, nil // a path that does not exist, or is not readable, needs no rule
	case err != nil:
		return nil, fmt.Errorf("cannot sandbox the plugin: %w", err)
	case info.IsDir():
		return []landlock.Rule{dirs(filepath.Clean(path))}, nil
	default:
		return []landlock.Rule{files(path)}, nil
	}
}
