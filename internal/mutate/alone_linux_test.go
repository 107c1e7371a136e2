package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestATestIsContained: a program sees no other processes, cannot end them or change files, and what it leaves ends
// with it, also in a session of its own.
func TestATestIsContained(t *testing.T) {
	if !containable(t) {
		o := options{pkg: "./testdata/small", only: regexp.MustCompile(""), jobs: 1}
		if _, err := run(t.Context(), &bytes.Buffer{}, o); err == nil || !strings.Contains(err.Error(), "UNCONTAINED") {
			t.Errorf("where nothing can be contained the tool does not refuse: %v", err)
		}
		return
	}
	place, outside := t.TempDir(), filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	script := `set -e
grep CapEff /proc/self/status >"$0/rights"
grep -q '^ *lo: ' /proc/net/dev
test "$(tail -n +3 /proc/net/dev | wc -l)" -eq 1
setsid sleep 600 >/dev/null 2>&1 &
cd "$0"
kill -9 -1
ls /proc | grep -c '^[0-9]' >processes
! rm -f "$1" 2>/dev/null
exit 7`
	from := time.Now()
	cmd := alone(t.Context(), []string{place}, "sh", "-c", script, place, outside)
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 1 || len(out) != 0 {
		t.Errorf("the program's failure is not told: %v, %s", err, out)
	}
	if time.Since(from) > time.Minute {
		t.Error("it waited for the process that the program left")
	}
	text, err := os.ReadFile(filepath.Join(place, "processes"))
	if err != nil || len(strings.TrimSpace(string(text))) > 1 {
		t.Errorf("it sees %q processes, %v", text, err)
	}
	if text, err := os.ReadFile(filepath.Join(place, "rights")); err != nil || os.Geteuid() != 0 &&
		!strings.Contains(string(text), "\t0000000000000000\n") {
		t.Errorf("it has other rights than its user: %s, %v", text, err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
	if out, err := alone(t.Context(), []string{place}, "true").CombinedOutput(); err != nil {
		t.Errorf("a program that succeeds: %v, %s", err, out)
	}
}

func TestNothingIsContainedInTheNamespacesOfTheMachine(t *testing.T) {
	if runAlone([]string{t.TempDir(), "true"}) == 0 {
		t.Error("it has changed the mounts of the machine")
	}
}
