package config

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/shared/fault"
)

// TestRuntimeDirectoryThatAnotherUserHasIsReplaced: what is not ours there stands for a stranger's directory. The new
// one is found by clients and by the next host.
func TestRuntimeDirectoryThatAnotherUserHasIsReplaced(t *testing.T) {
	shared, state := t.TempDir(), t.TempDir()
	taken := filepath.Join(shared, sharedName())
	if err := os.WriteFile(taken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	candidates := []string{filepath.Join(taken, "12345678")}
	dir, moved, err := runtimeDir(candidates, state, shared)
	if err != nil || moved == nil || !strings.Contains(moved.Error(), taken) || filepath.Dir(dir) != shared {
		t.Fatalf("%q, %v, %v", dir, moved, err)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	if found, ok := movedDir(state, shared); !ok || found != dir {
		t.Errorf("a client finds %q, %t", found, ok)
	}
	if again, moved, err := runtimeDir(candidates, state, shared); err != nil || moved == nil || again != dir {
		t.Errorf("the next host: %q, %v, %v", again, moved, err)
	}
	if err := os.Remove(dir); err != nil { // as a restart of the machine does
		t.Fatal(err)
	}
	if again, _, err := runtimeDir(candidates, state, shared); err != nil || again == dir {
		t.Errorf("when it is gone: %q, %v", again, err)
	}
	for _, lie := range []string{"/etc", filepath.Join(shared, "else"), taken + "-link", ""} {
		if err := os.WriteFile(filepath.Join(state, movedFile), []byte(lie+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_ = os.Symlink(state, taken+"-link")
		if found, ok := movedDir(state, shared); ok {
			t.Errorf("%q is taken for the directory", found)
		}
	}
	_, _, err = runtimeDir(candidates, filepath.Join(state, "none"), shared)
	if err == nil || !strings.Contains(fault.HintOf(err), "runtime_dir") {
		t.Errorf("without a state directory: %v", err)
	}
	if err := os.Remove(taken); err != nil {
		t.Fatal(err)
	}
	if dir, moved, err := runtimeDir(candidates, state, shared); err != nil || moved != nil || dir != candidates[0] {
		t.Errorf("when the place is free: %q, %v, %v", dir, moved, err)
	}
}

func TestRuntimeDirOfTheConfigurationIsTheOnlyOne(t *testing.T) {
	in, err := os.MkdirTemp("", "gh") //nolint:usetesting // short: sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(in) })
	path := filepath.Join(in, "config.toml")
	text := "state_dir = \"/state\"\nruntime_dir = \"run\"\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	dir, moved, err := c.RuntimeDir()
	if err != nil || moved != nil || dir != filepath.Join(in, "run", runtimeID("/state")) {
		t.Fatalf("%q, %v, %v", dir, moved, err)
	}
	if got, err := Sockets(path); err != nil || len(got) != 1 || filepath.Dir(got[0]) != dir {
		t.Errorf("clients look at %v, %v", got, err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(filepath.Join(in, "run"), 0o777); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.RuntimeDir(); !errors.Is(err, fault.ErrPermissionDenied) ||
			!strings.Contains(fault.HintOf(err), "chmod go-w ") {
			t.Errorf("an open directory: %v (%s)", err, fault.HintOf(err))
		}
	}
	c.RuntimeIn = filepath.Join(in, strings.Repeat("long", 20))
	if _, _, err := c.RuntimeDir(); err == nil || !strings.Contains(err.Error(), "too long") || fault.HintOf(err) == "" {
		t.Errorf("a long one: %v", err)
	}
}
