package lastgood_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/lastgood"
	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/plugin"
)

func writes(path, content, expected string) doctor.Plan {
	return doctor.Plan{Title: "write", Steps: []doctor.Step{{
		Title: "write", WriteFile: &doctor.WriteFileStep{Path: path, Content: []byte(content), ExpectedSHA256: expected},
	}}}
}

func sum(s string) string {
	b := sha256.Sum256([]byte(s))
	return hex.EncodeToString(b[:])
}

// TestMain runs the test binary as the host that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("REPAIR_TEST_DIR"); dir != "" {
		repairForEver(dir)
	}
	os.Exit(m.Run())
}

const victims = 1 << 20 // bytes: writing it takes long enough to be killed in

func victim(c string) string { return strings.Repeat(c, victims) }

// repairForEver writes one of two contents and undoes that, until it is killed.
func repairForEver(dir string) {
	config := filepath.Join(dir, "openclaw.json")
	e, err := repair.New(repair.Options{Dir: filepath.Join(dir, "repairs"), Keep: 3, Gateway: plugin.GatewayFacts{
		Name: "main", Command: []string{"x"}, StateDir: dir, ConfigPath: config,
	}})
	if err != nil {
		panic(err)
	}
	store, err := lastgood.NewStore(filepath.Join(dir, "good"), "main", nil)
	if err != nil {
		panic(err)
	}
	if err := e.Recover(); err != nil {
		panic(err)
	}
	for i := 0; ; i++ {
		l, err := repair.StateOf(config)
		if err != nil {
			panic(err)
		}
		if _, _, err := store.Keep(l); err != nil {
			panic(err)
		}
		next := victim("b")
		if l.SHA256 == sum(next) {
			next = victim("a")
		}
		fmt.Println("a repair begins") // the test kills some time after it
		if _, err := e.Execute(
			context.Background(), repair.Request{Plan: writes(config, next, l.SHA256), KeepAside: true},
		); err != nil {
			panic(err)
		}
		fmt.Println("it ended") // what the test measures the length of a repair by
		if i%2 == 1 {
			if _, err := e.UndoLast(context.Background(), true); err != nil {
				panic(err)
			}
		}
	}
}

func TestHostKilledAtAnyMomentLeavesTheOldFileOrTheNewOne(t *testing.T) {
	w := newWorld(t)
	dir := w.dir
	w.write(w.config, victim("a"), 0o600)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cut := 0
	// Each kill comes a little later after the begin of a repair, the last ones after its end. How long a repair takes
	// depends on the machine and on the race detector, so the first rounds measure it. At least 25 kills, and until
	// enough of them have hit one.
	var takes time.Duration
	for round := 0; round < 25 || cut < 5 && round < 500; round++ {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "REPAIR_TEST_DIR="+dir)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stdout)
		lines.Scan() // without a line it has ended, which Wait says
		if begun := time.Now(); round < 3 {
			lines.Scan()
			takes = max(takes, time.Since(begun))
		} else {
			time.Sleep(takes * time.Duration(round%25) / 20)
		}
		_ = cmd.Process.Kill()
		if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
			t.Fatalf("it ended by itself: %v\n%s", err, stderr.String())
		}
		data, err := os.ReadFile(w.config)
		if err != nil || string(data) != victim("a") && string(data) != victim("b") {
			t.Fatalf("round %d: %d bytes, %v", round, len(data), err)
		}
		for _, aside := range w.asidesOf(dir) {
			if info, err := os.Stat(aside); err != nil || info.Size() != victims {
				t.Errorf("kept beside: %v, %v", info, err)
			}
		}
		e, err := repair.New(repair.Options{Dir: filepath.Join(dir, "repairs"), Gateway: plugin.GatewayFacts{
			Name: "main", Command: []string{"x"}, StateDir: dir, ConfigPath: w.config,
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Recover(); err != nil {
			t.Fatal(err)
		}
		recs, err := e.Records()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range recs {
			if r.Outcome == repair.OutcomeRunning {
				t.Errorf("still said to be running: %+v", r)
			}
			if r.Outcome == repair.OutcomeCut {
				cut++
			}
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".gatehost-*")); len(left) > 0 {
		t.Errorf("unfinished files are left: %v", left)
	}
	if cut == 0 {
		t.Error("no kill hit a repair; this test has tested nothing")
	}
}

func (w *world) asidesOf(dir string) []string {
	found, _ := filepath.Glob(filepath.Join(dir, "openclaw.json.broken-*"))
	return found
}
