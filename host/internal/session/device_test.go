package session_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/session"
)

func TestIdentityIsMadeOnceAndKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "device.json")
	first, err := session.LoadDevice(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := session.LoadDevice(path)
	if err != nil || again.ID != first.ID || again.PublicKey() != first.PublicKey() || len(first.ID) != 64 {
		t.Errorf("first %s, then %v, %v", first.ID, again, err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
	if data, _ := os.ReadFile(path); !strings.HasSuffix(string(data), "}\n") ||
		!strings.Contains(string(data), `"version": 1`) {
		t.Errorf("file = %s", data)
	}
}

func TestIdentityThatOthersCanReadIsClosed(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes")
	}
	path := filepath.Join(t.TempDir(), "device.json")
	if _, err := session.LoadDevice(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil { //nolint:gosec // the fault under test
		t.Fatal(err)
	}
	if _, err := session.LoadDevice(path); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v", info.Mode())
	}
}

func TestWrongDeviceIDIsCorrected(t *testing.T) { // B146
	path := filepath.Join(t.TempDir(), "device.json")
	d, err := session.LoadDevice(path)
	if err != nil {
		t.Fatal(err)
	}
	edit(t, path, d.ID, strings.Repeat("0", 64))
	again, err := session.LoadDevice(path)
	if err != nil || again.ID != d.ID {
		t.Fatalf("%v, %v", again, err)
	}
	if data, _ := os.ReadFile(path); !strings.Contains(string(data), d.ID) {
		t.Errorf("not written back: %s", data)
	}
}

func TestBrokenIdentityIsSetAsideAndSaid(t *testing.T) { // B147, B148
	for _, row := range []struct{ name, old, to string }{
		{"no JSON", "{", "["},
		{"another version", `"version": 1`, `"version": 0`},
		{"no private key", "BEGIN PRIVATE KEY", "BEGIN NOTHING"},
		{"a public key of another device", "MCowBQYDK2VwAyEA", "MCowBQYDK2VwAyEB"},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "device.json")
			if _, err := session.LoadDevice(path); err != nil {
				t.Fatal(err)
			}
			edit(t, path, row.old, row.to)
			broken, _ := os.ReadFile(path)
			_, err := session.LoadDevice(path)
			aside, _ := filepath.Glob(path + ".broken-*")
			if err == nil || len(aside) != 1 || !strings.Contains(err.Error(), aside[0]) ||
				strings.Contains(err.Error(), "PRIVATE KEY-") {
				t.Fatalf("error = %v, aside = %v", err, aside)
			}
			if kept, _ := os.ReadFile(aside[0]); string(kept) != string(broken) {
				t.Error("what was set aside is not what was there")
			}
			if _, err := session.LoadDevice(path); err != nil {
				t.Errorf("the next call makes a new one: %v", err)
			}
		})
	}
}

// TestIdentityOfANewerHostIsLeftAlone: after a downgrade it must still be there for the upgrade.
func TestIdentityOfANewerHostIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "device.json")
	if _, err := session.LoadDevice(path); err != nil {
		t.Fatal(err)
	}
	edit(t, path, `"version": 1`, `"version": 2`)
	before, _ := os.ReadFile(path)
	if _, err := session.LoadDevice(path); err == nil || !strings.Contains(err.Error(), "newer gatehost") {
		t.Errorf("error = %v", err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("it was changed")
	}
}

func edit(t *testing.T, path, old, to string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), old) {
		t.Fatalf("%v: %q is not in %s", err, old, data)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(data), old, to, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}
