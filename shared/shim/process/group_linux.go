package process

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// MakeGroup makes an empty control group below the one that we are in. A leftover group of that name is replaced if no
// process is in it. Errors: ErrUnsupported (no cgroup v2 here); the system's, mostly permission denied.
func MakeGroup(name string) (Group, error) {
	parent, err := ownGroup()
	if err != nil {
		return Group{}, fmt.Errorf("cannot make control group: %w", err)
	}
	path := filepath.Join(parent, name)
	err = os.Mkdir(path, 0o755) //nolint:gosec // as all groups; who may write is decided by their owner
	if errors.Is(err, fs.ErrExist) && unix.Rmdir(path) == nil {
		err = os.Mkdir(path, 0o755) //nolint:gosec // as above
	}
	if err != nil {
		return Group{}, fmt.Errorf("cannot make control group: %w", err)
	}
	return groupAt(path)
}

// ownGroup returns the folder of the group that we are in.
func ownGroup() (string, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	return groupDir(string(own), string(mounts))
}

// groupDir reads cgroups(7) /proc/PID/cgroup and proc_pid_mountinfo(5).
func groupDir(own, mounts string) (string, error) {
	path := ""
	for line := range strings.Lines(own) {
		if p, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			path = p
		}
	}
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "/..") { // beyond what is mounted here
		return "", fmt.Errorf("no cgroup v2: %w", ErrUnsupported)
	}
	for s := bufio.NewScanner(strings.NewReader(mounts)); s.Scan(); {
		front, back, _ := strings.Cut(s.Text(), " - ")
		f, kind := strings.Fields(front), strings.Fields(back)
		if len(f) < 5 || len(kind) == 0 || kind[0] != "cgroup2" {
			continue
		}
		root, point := unescape(f[3]), unescape(f[4])
		if rest, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "/")); ok && (rest == "" || rest[0] == '/') {
			return filepath.Join(point, rest), nil
		}
	}
	return "", fmt.Errorf("no cgroup v2 is mounted: %w", ErrUnsupported)
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// Open returns the group's folder, after proving that it is a control group and the one that was made. Errors: ErrGone.
func (g Group) Open() (*os.File, error) {
	f, err := os.Open(g.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control group %s: %w", g.Path, ErrGone)
	}
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	var sfs unix.Statfs_t
	err = errors.Join(unix.Fstat(int(f.Fd()), &st), unix.Fstatfs(int(f.Fd()), &sfs))
	if err == nil && (sfs.Type != unix.CGROUP2_SUPER_MAGIC || st.Ino != g.ID || g.ID == 0) {
		err = fmt.Errorf("control group %s: %w: another one has its name", g.Path, ErrGone)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Limit writes a limit of a controller, such as "pids.max". It fails where the controller is not given to the group.
func (g Group) Limit(file string, value uint64) error {
	dir, err := g.Open()
	if err != nil {
		return err
	}
	defer dir.Close()
	fd, err := unix.Openat(int(dir.Fd()), file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot limit control group %s: %s: %w", g.Path, file, err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(strconv.FormatUint(value, 10))); err != nil {
		return fmt.Errorf("cannot limit control group %s: %s: %w", g.Path, file, err)
	}
	return nil
}

// pids lists the processes in the group and in groups below it; none when it does not exist.
func (g Group) pids() []int {
	dir, err := g.Open()
	if err != nil {
		return nil
	}
	defer dir.Close()
	var all []int
	_ = fs.WalkDir(os.DirFS("/proc/self/fd/"+strconv.Itoa(int(dir.Fd()))), ".",
		func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return nil //nolint:nilerr // it is removed meanwhile: no process is in it
			}
			b, err := os.ReadFile(filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), path, "cgroup.procs"))
			for field := range strings.FieldsSeq(string(b)) {
				// 0: of another pid namespace
				if pid, perr := strconv.Atoi(field); err == nil && perr == nil && pid > 0 {
					all = append(all, pid)
				}
			}
			return nil
		})
	return all
}

// kill kills all processes in the group, and those that they start meanwhile (cgroup.kill, Linux 5.14). It does nothing
// where that is not possible, or when we are in the group ourselves.
func (g Group) kill() {
	if slices.Contains(g.pids(), os.Getpid()) {
		return
	}
	dir, err := g.Open()
	if err != nil {
		return
	}
	defer dir.Close()
	fd, err := unix.Openat(int(dir.Fd()), "cgroup.kill", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	_, _ = unix.Write(fd, []byte("1"))
}

// End kills all processes in the group, and removes it.
func (g Group) End() error {
	if _, err := kill(Query{Group: &g}, map[Identity]bool{}); err != nil {
		return err
	}
	return g.Remove()
}

// removeBound is how long Remove waits for the kernel to notice that the last process is gone.
const removeBound = 2 * time.Second

// Remove removes an empty group and those below it; a group that is gone is no error. It fails when a process is in it.
func (g Group) Remove() error {
	for deadline := time.Now().Add(removeBound); ; time.Sleep(20 * time.Millisecond) {
		dir, err := g.Open()
		if errors.Is(err, ErrGone) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot remove control group: %w", err)
		}
		dir.Close()
		var below []string
		_ = filepath.WalkDir(g.Path, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				below = append(below, path)
			}
			return nil
		})
		slices.Reverse(below) // the deepest first
		for _, path := range below {
			err = unix.Rmdir(path)
		}
		switch {
		case err == nil || errors.Is(err, fs.ErrNotExist):
			return nil
		case !errors.Is(err, unix.EBUSY) || time.Now().After(deadline):
			return fmt.Errorf("cannot remove control group %s: %w", g.Path, err)
		}
	}
}

// FindGroup returns the group of that name in the place where MakeGroup would make it. Errors: ErrGone, ErrUnsupported.
func FindGroup(name string) (Group, error) {
	parent, err := ownGroup()
	if err != nil {
		return Group{}, err
	}
	return groupAt(filepath.Join(parent, name))
}

// GroupOf returns the group of a process if it has that name. Errors: ErrGone.
func GroupOf(pid int, name string) (Group, error) {
	own, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return Group{}, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Group{}, err
	}
	dir, err := groupDir(string(own), string(mounts))
	if err != nil {
		return Group{}, err
	}
	if filepath.Base(dir) != name {
		return Group{}, fmt.Errorf("pid %d is in no group %s: %w", pid, name, ErrGone)
	}
	return groupAt(dir)
}

func groupAt(path string) (Group, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return Group{}, fmt.Errorf("control group %s: %w: %w", path, ErrGone, err)
	}
	return Group{Path: path, ID: st.Ino}, nil
}

// SweepGroups removes groups whose names begin with prefix, beside the one that MakeGroup would make, that are empty
// and older than age: the process that made them was killed, and the record of them was removed. The kernel refuses to
// remove groups that are not empty.
func SweepGroups(prefix string, age time.Duration) {
	parent, err := ownGroup()
	if err != nil {
		return
	}
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, e := range entries {
		fi, err := e.Info()
		if err == nil && e.IsDir() && strings.HasPrefix(e.Name(), prefix) && time.Since(fi.ModTime()) > age {
			_ = unix.Rmdir(filepath.Join(parent, e.Name()))
		}
	}
}
