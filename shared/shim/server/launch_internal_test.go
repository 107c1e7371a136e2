//go:build unix

package server

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/shim"
)

func putProgram(t *testing.T, mode os.FileMode, elements ...string) string {
	t.Helper()
	path := filepath.Join(elements...)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestProgramIsFoundAsTheGatewayWouldFindIt: in its own PATH and directory, and not in ours.
func TestProgramIsFoundAsTheGatewayWouldFindIt(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	plain := putProgram(t, 0o600, dir, "plain", "tool")
	good := putProgram(t, 0o700, dir, "good", "tool")
	putProgram(t, 0o700, dir, "rel", "tool")
	later := putProgram(t, 0o700, dir, "later", "tool")
	if err := os.MkdirAll(filepath.Join(dir, "folder", "tool"), 0o700); err != nil {
		t.Fatal(err)
	}
	at := func(names ...string) string {
		var out []string
		for _, n := range names {
			out = append(out, filepath.Join(dir, n))
		}
		return strings.Join(out, ":")
	}
	for _, row := range []struct {
		name, program, cwd, path string
		want                     string
		code                     shim.Code
	}{
		{name: "the first in PATH", program: "tool", path: at("none", "good", "later"), want: good},
		{name: "not what is no program", program: "tool", path: at("plain", "folder", "later"), want: later},
		{name: "only what is no program", program: "tool", path: at("plain"), code: shim.CodePermission},
		{name: "only a directory", program: "tool", path: at("folder"), code: shim.CodePermission},
		{name: "a relative element of PATH", program: "tool", path: "rel", code: shim.CodeNotFound},
		{name: "no PATH", program: "tool", code: shim.CodeNotFound},
		{name: "a path", program: good, want: good},
		{name: "a path of no program", program: plain, code: shim.CodePermission},
		{name: "a path of nothing", program: good + "x", code: shim.CodeNotFound},
		{name: "a relative path", program: "./tool", cwd: filepath.Join(dir, "good"), want: good},
		{name: "a relative path in no directory", program: "good/tool", code: shim.CodeNotFound}, // of the root
		{name: "a working directory that is none", program: good, cwd: good, code: shim.CodeInvalid},
		{name: "a working directory that is absent", program: good, cwd: dir + "/none", code: shim.CodeInvalid},
	} {
		s := &supervisor{spec: shim.Spec{Argv: []string{row.program}, Cwd: row.cwd, Env: []shim.EnvVar{
			{Name: "PATH", Value: at("later")}, {Name: "PATH", Value: row.path}, {Name: "OTHER", Value: at("later")},
		}}}
		got, failure := s.resolve()
		if got != row.want || (failure == nil) != (row.code == "") || failure != nil && failure.Code != row.code {
			t.Errorf("%s: %q, %+v, want %q %s", row.name, got, failure, row.want, row.code)
		}
	}
}

func TestDurationsOfASpecHaveDefaults(t *testing.T) {
	s := &supervisor{}
	if s.linger() != shim.DefaultLinger || s.grace() != shim.DefaultGrace {
		t.Errorf("linger %v, grace %v", s.linger(), s.grace())
	}
	none := time.Duration(0)
	s.spec.Linger, s.spec.Grace = &none, time.Second
	if s.linger() != 0 || s.grace() != time.Second {
		t.Errorf("linger %v, grace %v", s.linger(), s.grace())
	}
}

func TestStandardInputIsWhatTheSpecContainsOnce(t *testing.T) {
	s := &supervisor{spec: shim.Spec{Stdin: []byte("a secret")}}
	for _, want := range []string{"a secret", ""} {
		f, err := s.stdin()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(f); err != nil || string(got) != want {
			t.Errorf("read %q, %v, want %q", got, err, want)
		}
		_ = f.Close()
	}
	if s.spec.Stdin != nil {
		t.Error("it is kept")
	}
}

func TestExitIsACodeOrASignal(t *testing.T) {
	if e := exitOf(syscall.WaitStatus(3 << 8)); e.Code != 3 || e.Signal != "" || e.Core || e.At.IsZero() {
		t.Errorf("exit code 3 = %+v", e)
	}
	if e := exitOf(syscall.WaitStatus(syscall.SIGKILL)); e.Code != -1 || e.Signal != "SIGKILL" || e.Core {
		t.Errorf("SIGKILL = %+v", e)
	}
	if e := exitOf(syscall.WaitStatus(int(syscall.SIGABRT) | 0x80)); e.Signal != "SIGABRT" || !e.Core {
		t.Errorf("SIGABRT with a core = %+v", e)
	}
}

// TestLogIsBegunAnewWhenItIsFull: a launch may last for years.
func TestLogIsBegunAnewWhenItIsFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), shim.LogFile)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	l, line := &logger{f: f}, strings.Repeat("x", 1000)
	size, fewer := int64(0), 0
	for n := range 200 {
		l.printf("%d %s", n, line)
		info, err := os.Stat(path)
		if err != nil || info.Size() > maxLog+2000 {
			t.Fatalf("%d bytes after line %d, %v", info.Size(), n, err)
		}
		if info.Size() < size {
			fewer++
		}
		size = info.Size()
	}
	if fewer != 3 {
		t.Errorf("it was begun anew %d times, want 3", fewer)
	}
	if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), " 199 x") {
		t.Errorf("the last line is not there: %v", err)
	}
	(&logger{}).printf("nowhere")
}

// TestHeldProcessSaysWhyItIsNoGateway: by one byte, or by ending without one.
func TestHeldProcessSaysWhyItIsNoGateway(t *testing.T) {
	for _, row := range []struct {
		says []byte
		code shim.Code
		want string
	}{
		{nil, "", ""},
		{[]byte{byte(syscall.ENOENT)}, shim.CodeNotFound, "the interpreter of /bin/tool"},
		{[]byte{byte(syscall.EACCES)}, shim.CodePermission, `exec "tool": permission denied`},
		{[]byte{byte(syscall.EPERM)}, shim.CodePermission, `exec "tool": permission denied`},
		{[]byte{byte(syscall.ENOEXEC)}, shim.CodeInvalid, "exec format error"},
	} {
		gateR, gateW, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		resultR, resultW, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		_, writeErr := resultW.Write(row.says)
		h := &held{gate: gateW, result: resultR}
		if err := errors.Join(writeErr, resultW.Close()); err != nil {
			t.Fatal(err)
		}
		f := h.run("tool", "/bin/tool")
		if (f == nil) != (row.code == "") || f != nil && (f.Code != row.code || !strings.Contains(f.Message, row.want)) {
			t.Errorf("%v: %+v", row.says, f)
		}
		var b [1]byte
		if n, err := gateR.Read(b[:]); n != 1 || err != nil {
			t.Errorf("the gate: %d, %v", n, err)
		}
		h.close()
		_ = gateR.Close()
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	if f := (&held{gate: w}).run("tool", "/bin/tool"); f == nil || f.Code != shim.CodeInternal {
		t.Errorf("a process that ended: %+v", f)
	}
	_ = w.Close()
}
