package pluginhost_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/shared/fault"
)

// shutIn starts the test plugin inside a sandbox. On a machine without landlock it fails: that the plugin is refused
// there is another test.
func shutIn(t *testing.T, s *sandbox.Spec, args ...string) *pluginhost.Host {
	t.Helper()
	if !sandbox.Supported().OK() {
		t.Fatal("this kernel has no landlock")
	}
	spec := testPlugin(args...)
	spec.Sandbox = s
	h, _ := newHost(t, quick(), spec)
	awaitState(t, h, pluginhost.Running)
	return h
}

func attempt(t *testing.T, h *pluginhost.Host, what string) (string, error) {
	t.Helper()
	d, err := ask(t, h, "try "+what)
	if err != nil {
		return "", err
	}
	return d.Findings[0].Text, nil
}

func TestShutInPluginReachesNothingOfTheUser(t *testing.T) {
	home := t.TempDir()
	secret := filepath.Join(home, ".ssh", "id_ed25519")
	if err := os.MkdirAll(filepath.Dir(secret), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(secret, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	ear, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ear.Close() }()
	h := shutIn(t, &sandbox.Spec{})
	for _, what := range []string{
		"read " + secret,
		"list " + home,
		"write " + filepath.Join(home, "new"),
		"run cat " + secret, // by a child, too
		"run touch " + filepath.Join(home, "new"),
		"connect " + ear.Addr().String(),
		"signal " + strconv.Itoa(os.Getpid()),
		fmt.Sprintf("read /proc/%d/environ", os.Getpid()),
	} {
		text, err := attempt(t, h, what)
		if err == nil {
			t.Errorf("%s: it could, and got %q", what, text)
			continue
		}
		if strings.HasPrefix(what, "run") { // the shell's own words are lost with its exit code
			continue
		}
		if !errors.Is(err, fault.ErrPermissionDenied) || !strings.Contains(fault.HintOf(err), "plugins.p.sandbox") {
			t.Errorf("%s: %v (hint %q), want a refusal that names the key", what, err, fault.HintOf(err))
		}
	}
	if _, err := os.Stat(filepath.Join(home, "new")); err == nil {
		t.Error("it has written where it must not")
	}
}

func TestShutInPluginDoesItsWork(t *testing.T) {
	given, changed := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(given, "facts"), []byte("for you"), 0o600); err != nil {
		t.Fatal(err)
	}
	ear, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ear.Close() }()
	h := shutIn(t, &sandbox.Spec{
		Read: []string{given, filepath.Join(given, "not-there")}, Write: []string{changed}, Network: true,
		OpenFiles: 100, FileSize: 2 << 20,
	})
	dir, err := attempt(t, h, "dir ")
	if err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]string{
		"read " + filepath.Join(given, "facts"):  "for you",
		"write " + filepath.Join(changed, "new"): "done",
		"write " + filepath.Join(dir, "own"):     "done",
		"run echo hello":                         "hello\n",
		"env TMPDIR":                             dir,
		"connect " + ear.Addr().String():         "done",
		"read /dev/null":                         "",
		"files 20":                               "20",
	} {
		if got, err := attempt(t, h, what); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", what, got, err, want)
		}
	}
	if _, err := attempt(t, h, "write "+filepath.Join(given, "facts")); err == nil {
		t.Error("what is to be read could be written")
	}
	if _, err := attempt(t, h, "files 200"); err == nil || !strings.Contains(err.Error(), "too many open files") {
		t.Errorf("200 files at once: %v", err)
	}
	if _, err := attempt(t, h, "grow "+filepath.Join(dir, "big")); err == nil ||
		!strings.Contains(err.Error(), "file too large") {
		t.Errorf("a file of 4 MiB: %v", err)
	}
	first := pid(t, h)
	if err := h.Restart(t.Context(), "p"); err != nil { // another generation, with another socket directory
		t.Fatal(err)
	}
	if second := pid(t, h); second == first {
		t.Error("the process was not replaced")
	}
}

func TestShutInPluginIsTheFileThatWasChecked(t *testing.T) {
	spec := testPlugin()
	spec.SHA256, spec.Sandbox = checksum(t, filepath.Join(pluginDir, "test-plugin")), &sandbox.Spec{}
	h, _ := newHost(t, quick(), spec)
	awaitState(t, h, pluginhost.Running)
	name, err := attempt(t, h, "read /proc/self/cmdline")
	if err != nil || !strings.HasSuffix(strings.TrimRight(name, "\uFFFD"), "test-plugin") {
		t.Errorf("it sees itself as %q, %v", name, err)
	}
}

// TestAScriptIsShutInToo: its interpreter is read from the system, the script by the descriptor that was checked.
func TestAScriptIsShutInToo(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "doctor")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho I am $0 >&2\ncat "+dir+"/other >&2\nexit 3\n"),
		0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "other"), []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, _ := newHost(t, quick(), pluginhost.Spec{Name: "p", Path: script, Sandbox: &sandbox.Spec{}})
	s := awaitState(t, h, pluginhost.Failed)
	if text := s.Err.Error(); !strings.Contains(text, "I am /") || strings.Contains(text, "canary") ||
		!strings.Contains(text, "ermission denied") {
		t.Errorf("error = %s", text)
	}
}

func TestRelativePathIsNoRule(t *testing.T) {
	spec := testPlugin()
	spec.Sandbox = &sandbox.Spec{Read: []string{"relative"}}
	h, _ := newHost(t, quick(), spec)
	s := awaitState(t, h, pluginhost.Failed)
	if !strings.Contains(s.Err.Error(), "not an absolute path") {
		t.Errorf("error = %v", s.Err)
	}
}
