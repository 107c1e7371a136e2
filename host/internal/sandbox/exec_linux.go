package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// opened is the descriptor at which the host puts the file that it has checked.
const opened = "/proc/self/fd/3"

// Supported asks the kernel.
func Supported() Support {
	const version = 1                                                              // LANDLOCK_CREATE_RULESET_VERSION
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, version) // no rules, no size
	if errno != 0 {
		return Support{}
	}
	return Support{Level: int(abi)} //nolint:gosec // a small number
}

// Exec enters the sandbox and becomes the plugin; it returns only when it cannot. args are what follows Verb. Each
// step that fails ends it: no plugin starts in half a sandbox.
func Exec(args []string) error {
	spec, argv, err := parse(args)
	if err != nil {
		return err
	}
	program := opened
	if spec.Command {
		if program, err = exec.LookPath(argv[0]); err != nil {
			return fmt.Errorf("cannot run the command: %w", err)
		}
	}
	if err := limit(spec); err != nil {
		return err
	}
	if err := restrict(spec); err != nil {
		return err
	}
	if spec.Watched {
		runtime.LockOSThread() // this thread becomes the plugin
		if err := announce(); err != nil {
			return err
		}
	}
	err = syscall.Exec(program, argv, os.Environ()) //nolint:gosec // the host opened and checked it, or named it
	if spec.Command {
		return fmt.Errorf("cannot run the command %s: %w", argv[0], err)
	}
	return fmt.Errorf("cannot run the plugin %s: %w", argv[0], err)
}

func limit(s Spec) error {
	for _, l := range []struct {
		name  string
		what  int
		value uint64
	}{
		{"core", unix.RLIMIT_CORE, 0},
		{"open files", unix.RLIMIT_NOFILE, s.OpenFiles},
		{"file size", unix.RLIMIT_FSIZE, s.FileSize},
	} {
		var now unix.Rlimit
		if err := unix.Getrlimit(l.what, &now); err != nil {
			return fmt.Errorf("cannot limit the plugin's %s: %w", l.name, err)
		}
		value := min(l.value, now.Max) // a limit of the host itself stays
		// By syscall, and not by os or unix: Go restores for a child the limit of open files that the process began
		// with.
		if err := syscall.Setrlimit(l.what, &syscall.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("cannot limit the plugin's %s: %w", l.name, err)
		}
	}
	return nil
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
		rules = append(rules, landlock.ROFiles(opened))
	}
	if s.Network {
		if err := landlock.V7.BestEffort().RestrictPaths(rules...); err != nil {
			return fmt.Errorf("cannot sandbox the plugin: %w", err)
		}
		if err := landlock.V7.BestEffort().RestrictScoped(); err != nil {
			return fmt.Errorf("cannot sandbox the plugin: %w", err)
		}
		return nil
	}
	if err := landlock.V7.BestEffort().Restrict(rules...); err != nil {
		return fmt.Errorf("cannot sandbox the plugin: %w", err)
	}
	return nil
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
