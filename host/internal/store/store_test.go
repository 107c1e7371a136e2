package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/store"
)

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestOneHostPerStateDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first := open(t, dir)
	if _, err := store.Open(dir); !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "pid") {
		t.Fatalf("second open = %v, want ErrLocked with the pid", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

func TestStateIsClosedToOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	if _, err := s.Token("main"); err != nil {
		t.Fatal(err)
	}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTokenIsMadeOnceAndABrokenOneIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	a, err := s.Token("main")
	if err != nil || !strings.HasPrefix(a, "gatehost-") || len(a) < 40 {
		t.Fatalf("token = %q, %v", a, err)
	}
	if b, _ := s.Token("main"); a != b {
		t.Error("a second token was made")
	}
	path := filepath.Join(dir, "gateways", "main", "token")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Token("main"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error = %v, want one that names the file", err)
	}
}

func TestLaunchIdentityIsOnDiskBeforeItIsUsed(t *testing.T) {
	s := open(t, t.TempDir())
	id, err := s.PrepareLaunch("main")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(s.RunDir(), id, "launch.json"))
	if err != nil || !strings.Contains(string(data), id) {
		t.Fatalf("record = %s, %v", data, err)
	}
	if err := s.DiscardLaunch(id); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", ".", "..", "../gateways", "a/b"} {
		if err := s.DiscardLaunch(bad); err == nil {
			t.Errorf("DiscardLaunch(%q) was accepted", bad)
		}
	}
}

// TestIdentityThatCameToNoLaunchIsSwept: its host was killed between preparing and launching. What was launched, or
// is younger, stays.
func TestIdentityThatCameToNoLaunchIsSwept(t *testing.T) {
	s := open(t, t.TempDir())
	prepare := func() string {
		id, err := s.PrepareLaunch("main")
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	unused, used := prepare(), prepare()
	if err := os.WriteFile(filepath.Join(s.RunDir(), used, "spec.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := s.SweepLaunches(time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Errorf("younger ones: %d, %v", n, err)
	}
	if n, err := s.SweepLaunches(time.Now().Add(time.Hour)); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if _, err := os.Stat(filepath.Join(s.RunDir(), unused)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the unused one: %v", err)
	}
	if _, err := os.Stat(filepath.Join(s.RunDir(), used)); err != nil {
		t.Errorf("the used one: %v", err)
	}
}

// TestWhatStandsInTheLockFileMeansNothing is T147 to T151 and T153: only the kernel's lock counts, so nothing is
// stale, foreign or malformed.
func TestWhatStandsInTheLockFileMeansNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "host.lock")
	for _, text := range []string{
		"", "garbage", "1\n", "999999999\n", `{"schema":"of another program","pid":1}`,
		strings.Repeat("x", 1<<20),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(dir)
		if err != nil {
			t.Fatalf("%.20q: %v", text, err)
		}
		if _, err := store.Open(dir); !errors.Is(err, store.ErrLocked) {
			t.Errorf("%.20q: a second one: %v", text, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path); err != nil { // a file that is removed could be another's by then
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func TestLockSaysWhereItsHostIs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if h, ok := store.ReadHolder(dir); ok {
		t.Errorf("before the socket is open: %+v", h)
	}
	for _, want := range []store.Holder{
		{PID: 12345, Socket: "/a/rather/long/path/s", StartTime: "678"}, {PID: 12345, Socket: "/s", StartTime: "678"},
	} {
		if err := s.Announce(want); err != nil {
			t.Fatal(err)
		}
		if h, ok := store.ReadHolder(dir); !ok || h != want {
			t.Errorf("ReadHolder = %+v, %t, want %+v", h, ok, want)
		}
	}
	if _, err := store.Open(dir); !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "pid 12345)") {
		t.Errorf("second Open = %v, want the pid", err)
	}
	for _, text := range []string{"", "12\n", "12\n/s\n", "12\n/s\n67", "x\n/s\n67\n", "12\ns\n67\n"} {
		if err := os.WriteFile(filepath.Join(dir, "host.lock"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if h, ok := store.ReadHolder(dir); ok {
			t.Errorf("ReadHolder of %q = %+v, want nothing", text, h)
		}
	}
}
