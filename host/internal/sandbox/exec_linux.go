package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// opened is where the host puts the file that it has checked.
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

// Exec shuts this process in and becomes the plugin; it returns only when it can't. args are what follows Verb. Nothing is started
// half shut in: each step that fails ends it.
func Exec(args []string) error {
	spec, argv, err := parse(args)
	if err != nil {
		return err
	}
	if err := limit(spec); err != nil {
		return err
	}
	if err := restrict(spec); err != nil {
		return err
	}
	if spec.Watched {
		runtime.LockOSThread() // it is the one that becomes the plugin
		if err := announce(); err != nil {
			return err
		}
	}
	err = syscall.Exec(opened, argv, os.Environ()) //nolint:gosec // the host opened and checked it
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
		value := min(l.value, now.Max) // a limit of the host's own stays
		// By syscall, and not by os or unix: Go gives a child back the limit of open files that it began with.
		if err := syscall.Setrlimit(l.what, &syscall.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("cannot limit the plugin's %s: %w", l.name, err)
		}
	}
	return nil
}

// restrict takes away what landlock can take away at this kernel's level.
func restrict(s Spec) error {
	if !Supported().OK() {
		return errors.New("cannot shut the plugin in: this kernel has no landlock")
	}
	read, write := System()
	var rules []landlock.Rule
	for _, set := range []struct {
		paths      []string
		dirs, file func(...string) landlock.FSRule
	}{
		{append(read, s.Read...), landlock.RODirs, landlock.ROFiles},
		{append(write, s.Write...), landlock.RWDirs, landlock.RWFiles},
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
	// The plugin itself, by its descriptor: its path may be somebody else's by now.
	rules = append(rules, landlock.ROFiles(opened))
	if s.Network {
		if err := landlock.V7.BestEffort().RestrictPaths(rules...); err != nil {
			return fmt.Errorf("cannot shut the plugin in: %w", err)
		}
		if err := landlock.V7.BestEffort().RestrictScoped(); err != nil {
			return fmt.Errorf("cannot shut the plugin in: %w", err)
		}
		return nil
	}
	if err := landlock.V7.BestEffort().Restrict(rules...); err != nil {
		return fmt.Errorf("cannot shut the plugin in: %w", err)
	}
	return nil
}

// listDirs lets names be seen, and nothing else.
func listDirs(paths ...string) landlock.FSRule {
	return landlock.PathAccess(landlock.AccessFSSet(unix.LANDLOCK_ACCESS_FS_READ_DIR), paths...)
}

// ruleOf is the rule for one path, as what it is now; none for a path that leads nowhere.
func ruleOf(path string, dirs, files func(...string) landlock.FSRule) ([]landlock.Rule, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return nil, nil // what isn't there, or isn't ours, needs no leave
	case err != nil:
		return nil, fmt.Errorf("cannot shut the plugin in: %w", err)
	case info.IsDir():
		return []landlock.Rule{dirs(filepath.Clean(path))}, nil
	default:
		return []landlock.Rule{files(path)}, nil
	}
}
