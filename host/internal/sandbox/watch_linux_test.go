//go:build amd64 || arm64

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// watched runs a program in a sandbox that is watched, and returns what it was denied, and its output.
func (g *ground) watched(t *testing.T, program string, spec Spec, args ...string) ([]Access, string) {
	t.Helper()
	spec.Read = append(spec.Read, filepath.Join(filepath.Dir(g.own), "given"))
	spec.Write = []string{g.own}
	w, err := NewWatch(spec, program)
	if err != nil {
		t.Fatal(err)
	}
	spec.Watched = true
	cmd := g.begin(t, program, spec, args...)
	cmd.ExtraFiles = append(cmd.ExtraFiles, w.Child())
	cmd.Stderr = nil
	var mu sync.Mutex // guards told
	var told []Access
	ended := make(chan struct{})
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := w.Child().Close(); err != nil {
		t.Error(err)
	}
	go func() {
		defer close(ended)
		w.Run(func(a Access) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, a)
		})
	}()
	if err := cmd.Wait(); err != nil {
		t.Logf("%s: %v", args, err) // it may fail for what it was denied
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("it is watched after its end")
	}
	mu.Lock()
	defer mu.Unlock()
	return told, out.String()
}

func shell(t *testing.T) string {
	t.Helper()
	path, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestFilesAndSocketsThatAreDeniedAreTold, and nothing else is.
func TestFilesAndSocketsThatAreDeniedAreTold(t *testing.T) {
	needFilter(t)
	g := newGround(t, program(t, runtime.GOARCH))
	home := filepath.Dir(g.own)
	given := filepath.Join(home, "given", "file")
	script := fmt.Sprintf(`cd %q || exit 1
cat %q; cat /dev/null; echo mine >own-file; cat own-file; cat missing 2>/dev/null
cat %q 2>/dev/null; echo >%q; echo >../new; ls .. 2>/dev/null
exit 0`, g.own, given, g.secret, given)
	told, out := g.watched(t, shell(t), Spec{}, "-c", script)
	for _, want := range []Access{
		{Path: g.secret}, {Path: given, Write: true}, {Path: filepath.Join(home, "new"), Write: true}, {Path: home},
	} {
		if !slices.Contains(told, want) {
			t.Errorf("%+v was not told", want)
		}
	}
	if len(told) != 4 || out != "canarymine\n" {
		t.Errorf("told %+v, it printed %q", told, out)
	}
	for _, row := range []struct {
		network bool
		told    []Access
	}{{false, []Access{{Socket: "TCP"}, {Socket: "UDP"}}}, {true, nil}} {
		told, out := g.watched(t, g.program, Spec{Network: row.network}, "tcp", "udp", "unix listen", "pair of streams")
		sockets := slices.DeleteFunc(told, func(a Access) bool { return a.Socket == "" })
		if !slices.Equal(slices.Compact(sockets), row.told) {
			t.Errorf("network %v: told %+v, want %+v", row.network, told, row.told)
		}
		if strings.Contains(out, "denied") == row.network || !strings.Contains(out, `"unix listen":""`) {
			t.Errorf("network %v: %s", row.network, out)
		}
	}
}

// TestPluginThatNeverBeginsIsNotWatched: Run returns, whatever comes in place of the listener.
func TestPluginThatNeverBeginsIsNotWatched(t *testing.T) {
	for name, send := range map[string]func(child int) error{
		"it has ended": func(int) error { return nil },
		"no descriptor": func(child int) error {
			return unix.Sendmsg(child, []byte{1}, nil, nil, 0)
		},
		"two descriptors": func(child int) error {
			return unix.Sendmsg(child, []byte{1}, unix.UnixRights(0, 1), nil, 0)
		},
		"something else": func(child int) error {
			return unix.Sendmsg(child, []byte{1}, unix.UnixCredentials(&unix.Ucred{Pid: int32(os.Getpid())}), nil, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := NewWatch(Spec{})
			if err != nil {
				t.Fatal(err)
			}
			if err := send(int(w.Child().Fd())); err != nil {
				t.Logf("cannot send: %v", err)
			}
			if err := w.Child().Close(); err != nil {
				t.Error(err)
			}
			done := make(chan struct{})
			go func() {
				w.Run(func(a Access) { t.Errorf("told %+v", a) })
				close(done)
			}()
			select {
			case <-done:
			case <-time.After(20 * time.Second):
				t.Fatal("it waits for ever")
			}
		})
	}
	w, err := NewWatch(Spec{})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	w.Run(func(a Access) { t.Errorf("told %+v", a) })
}

// pointer is where a text is in the memory of this process.
func pointer(t *testing.T, s string) uint64 {
	t.Helper()
	p, err := unix.BytePtrFromString(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { runtime.KeepAlive(p) })
	return uint64(uintptr(unsafe.Pointer(p)))
}

const cwd = ^uint64(99) // AT_FDCWD, -100

func TestOpensAreUnderstood(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open("testdata")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	type how struct{ flags, mode, resolve uint64 }
	opening := &how{flags: unix.O_RDWR}
	absolute, relative := pointer(t, "/a/../b"), pointer(t, "c")
	fd := uint64(dir.Fd())
	for name, row := range map[string]struct {
		nr    int
		args  [6]uint64
		path  string // "": an error
		write bool
	}{
		"to read":              {unix.SYS_OPENAT, [6]uint64{cwd, absolute, unix.O_RDONLY}, "/b", false},
		"to write":             {unix.SYS_OPENAT, [6]uint64{cwd, absolute, unix.O_WRONLY}, "/b", true},
		"to read and write":    {unix.SYS_OPENAT, [6]uint64{cwd, absolute, unix.O_RDWR}, "/b", true},
		"to truncate":          {unix.SYS_OPENAT, [6]uint64{cwd, absolute, unix.O_TRUNC}, "/b", true},
		"in its directory":     {unix.SYS_OPENAT, [6]uint64{cwd, relative, 0}, filepath.Join(here, "c"), false},
		"in another directory": {unix.SYS_OPENAT, [6]uint64{fd, relative, 0}, filepath.Join(here, "testdata", "c"), false},
		"in no directory":      {unix.SYS_OPENAT, [6]uint64{1 << 20, relative, 0}, "", false},
		"a place":              {unix.SYS_OPENAT, [6]uint64{cwd, absolute, unix.O_PATH}, "", false},
		"no text":              {unix.SYS_OPENAT, [6]uint64{cwd, 8, 0}, "", false},
		"openat2": {
			unix.SYS_OPENAT2, [6]uint64{cwd, absolute, uint64(uintptr(unsafe.Pointer(opening)))}, "/b", true,
		},
		"openat2 without flags": {unix.SYS_OPENAT2, [6]uint64{cwd, absolute, 8}, "", false},
	} {
		n := notification{nr: int32(row.nr), pid: uint32(os.Getpid()), args: row.args}
		if path, write, err := openedBy(n); path != row.path || write != row.write || (err != nil) != (row.path == "") {
			t.Errorf("%s: %s, %v, %v", name, path, write, err)
		}
	}
	runtime.KeepAlive(opening)
}

func TestPathsAreReadFromTheMemoryOfAProcess(t *testing.T) {
	pages, err := unix.Mmap(-1, 0, 4*pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(pages) }()
	at := uint64(uintptr(unsafe.Pointer(&pages[0])))
	pid := uint32(os.Getpid())
	for i := range pages {
		pages[i] = 'x'
	}
	if got, err := text(pid, at); err == nil {
		t.Errorf("a text without an end: %d bytes", len(got))
	}
	copy(pages[pageSize-3:], "/a/b/c\x00")
	if got, err := text(pid, at+pageSize-3); err != nil || got != "/a/b/c" {
		t.Errorf("over the border of two pages: %q, %v", got, err)
	}
	if err := unix.Mprotect(pages[pageSize:2*pageSize], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	if got, err := text(pid, at+pageSize-3); err == nil {
		t.Errorf("into memory that cannot be read: %q", got)
	}
	copy(pages[pageSize-3:], "/a\x00")
	if got, err := text(pid, at+pageSize-3); err != nil || got != "/a" {
		t.Errorf("up to memory that cannot be read: %q, %v", got, err)
	}
	if got, err := memory(pid, at+pageSize-3, 8); err == nil {
		t.Errorf("a part of it: %q", got)
	}
}

func TestWhatTheKernelWillDeny(t *testing.T) {
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(home, name) }
	for _, dir := range []string{"read", "write", "list", "other"} {
		if err := os.Mkdir(in(dir), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(in(dir+"/file"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(in("other/file"), in("read/link")); err != nil {
		t.Fatal(err)
	}
	sleep := exec.Command("sleep", "600")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = sleep.Process.Kill(), sleep.Wait() }()
	ours, theirs := fmt.Sprintf("/proc/%d/status", os.Getpid()), fmt.Sprintf("/proc/%d/status", sleep.Process.Pid)
	w, err := NewWatch(Spec{Read: []string{in("read")}, Write: []string{in("write")}, List: []string{in("list")}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, row := range []struct {
		path   string
		write  bool
		denied string // the path that is told; "": none
	}{
		{in("read/file"), false, ""},
		{in("read/file"), true, in("read/file")},
		{in("write/file"), false, ""},
		{in("write/file"), true, ""},
		{in("write/new"), true, ""},
		{in("other/file"), false, in("other/file")},
		{in("other/file"), true, in("other/file")},
		{in("other/new"), true, in("other/new")},
		{in("other/new"), false, ""},
		{in("nowhere/new"), true, ""},
		{in("read/link"), false, in("other/file")},
		{in("other"), false, in("other")},
		{in("list"), false, ""},
		{in("list/file"), false, in("list/file")},
		{"/proc/self/mem", true, ""},
		{"/proc/thread-self/mem", true, ""},
		{ours, false, ""},
		{theirs, false, theirs},
		{"/proc/uptime", false, "/proc/uptime"},
		{"/proc/", false, ""},
		{"/proc/no-such", false, ""},
		{"/proc//x", false, ""},
	} {
		got, denied := w.outside(row.path, row.write, uint32(os.Getpid()))
		if denied != (row.denied != "") || denied && got != row.denied {
			t.Errorf("%s, write %v: %q, %v, want %q", row.path, row.write, got, denied, row.denied)
		}
	}
}

// TestCommandsKeepWhatTheyAre: a command is found as a shell finds it, and may move files between its directories.
func TestCommandsKeepWhatTheyAre(t *testing.T) {
	g := newGround(t, program(t, runtime.GOARCH))
	run := func(spec Spec, argv ...string) (string, error) {
		t.Helper()
		spec.Command = true
		out, err := func() ([]byte, error) {
			cmd := g.begin(t, g.program, spec)
			args, err := spec.Args(argv[0], argv[1:])
			if err != nil {
				return nil, err
			}
			cmd.Args, cmd.ExtraFiles, cmd.Stderr = append(cmd.Args[:1], args...), nil, nil
			return cmd.CombinedOutput()
		}()
		return strings.TrimSpace(string(out)), err
	}
	if out, err := run(Spec{}, "echo", "a", "b"); err != nil || out != "a b" {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := run(Spec{}, "no-such-command"); err == nil || !strings.Contains(out, "cannot run the command: exec:") {
		t.Errorf("%q, %v", out, err)
	}
	if Supported().Level < 2 {
		return
	}
	for _, dir := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(g.own, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(g.own, "a", "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := fmt.Sprintf("ln %[1]s/a/x %[1]s/b/x", g.own)
	cmd := g.begin(t, shell(t), Spec{Unfiltered: true}, "-c", link)
	cmd.Stderr = nil
	if err := cmd.Run(); err == nil {
		t.Error("a plugin may move files between directories")
	}
	if out, err := run(Spec{Write: []string{g.own}}, "sh", "-c", link); err != nil {
		t.Errorf("a command may not move files between directories: %s, %v", out, err)
	}
}

// limits runs a program in a sandbox and returns its limits by name: soft and hard.
func (g *ground) limits(t *testing.T, wrap []string, spec Spec) (map[string][2]string, string) {
	t.Helper()
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Fatal(err)
	}
	if cat, err = filepath.EvalSymlinks(cat); err != nil {
		t.Fatal(err)
	}
	cmd := g.begin(t, cat, spec, "/proc/self/limits")
	if len(wrap) > 0 {
		cmd.Args = append(slices.Clone(wrap), cmd.Args...)
		if cmd.Path, err = exec.LookPath(wrap[0]); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Stderr = nil
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, string(out)
	}
	found := map[string][2]string{}
	for line := range strings.Lines(string(out)) {
		if len(line) > 60 {
			fields := strings.Fields(line[26:])
			found[strings.TrimSpace(line[:26])] = [2]string{fields[0], fields[1]}
		}
	}
	return found, string(out)
}

func TestLimitsOfAPlugin(t *testing.T) {
	g := newGround(t, program(t, runtime.GOARCH))
	const mark = 1<<32 + 5
	got, out := g.limits(t, nil, Spec{Mark: mark, OpenFiles: 77, FileSize: 1 << 20, Memory: 1 << 30})
	for name, want := range map[string]string{
		"Max core file size": "0", "Max open files": "77", "Max file size": "1048576", "Max data size": "1073741824",
		"Max file locks": fmt.Sprint(uint64(mark)),
	} {
		if got[name] != [2]string{want, want} {
			t.Errorf("%s is %v, want %s\n%s", name, got[name], want, out)
		}
	}
	// more processes than all users have now, and no less than a bomb needs
	var most int
	if _, err := fmt.Sscan(got["Max processes"][0], &most); err == nil && most <= mostTasks {
		t.Errorf("at most %d processes", most)
	}
	got, out = g.limits(t, nil, Spec{})
	if got["Max core file size"] != [2]string{"0", "0"} || got["Max file locks"][0] == "0" ||
		got["Max open files"] != [2]string{"1024", "1024"} {
		t.Errorf("without a mark: %v\n%s", got, out)
	}
	// a limit of the host itself stays
	got, out = g.limits(t, []string{"prlimit", "--nofile=60:60"}, Spec{Mark: mark})
	if got["Max open files"] != [2]string{"60", "60"} {
		t.Errorf("of a host with a limit: %v\n%s", got["Max open files"], out)
	}
	got, out = g.limits(t, []string{"prlimit", "--locks=60:60"}, Spec{Mark: mark})
	if got != nil || !strings.Contains(out, "a limit of file locks is set for the host") {
		t.Errorf("without room for a mark: %v\n%s", got, out)
	}
}

// TestAWatchThatCannotBeToldEndsThePlugin: its calls would wait for ever.
func TestAWatchThatCannotBeToldEndsThePlugin(t *testing.T) {
	needFilter(t)
	g := newGround(t, program(t, runtime.GOARCH))
	null, err := os.Open(os.DevNull) // takes no descriptor
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	cmd := g.begin(t, g.program, Spec{Watched: true}, "stat")
	cmd.ExtraFiles, cmd.Stderr = append(cmd.ExtraFiles, null), nil
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); !errors.As(err, &exit) ||
		!strings.Contains(string(out), "cannot tell the host what the plugin opens") {
		t.Errorf("%s, %v", out, err)
	}
}
