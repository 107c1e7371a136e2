package observe

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
)

// follow makes a machine whose steps go into a record.
func follow(t *testing.T) (*machine, *Record) {
	t.Helper()
	r := New(Settings{Gateway: "main"}, lifecycle.New())
	return newMachine(t, func(c Change) { r, _ = r.Step(c) }), &r
}

// TestReplacedFilesAreAConditionOfTheProcessThatRan: a new process has loaded the new files.
func TestReplacedFilesAreAConditionOfTheProcessThatRan(t *testing.T) {
	m, r := follow(t)
	m.give(lifecycle.StartRequested{Command: 1})
	seen := InstallReplaced{Launch: m.state.Launch, At: m.now}
	got := conditionsOf(t, r, m.now, InstallReplaced{Launch: "another", At: m.now}, seen,
		InstallReplaced{Launch: m.state.Launch, At: m.now.Add(time.Minute)})
	if !slices.Equal(got, []string{"install-replaced came"}) {
		t.Errorf("conditions: %q", got)
	}
	if c, ok := conditionOf(*r, codeInstallReplaced); !ok || !c.Since.Equal(seen.At) ||
		!strings.Contains(c.Hint, "`gatehost restart main`") {
		t.Errorf("condition = %+v", c)
	}
	m.give(lifecycle.SessionClosed{Session: m.state.Session, Code: 1006}) // the same process
	if _, ok := conditionOf(*r, codeInstallReplaced); !ok {
		t.Error("with another session of the same process it is gone")
	}
	m.crash()
	if _, ok := conditionOf(*r, codeInstallReplaced); !ok {
		t.Error("it does not explain why the gateway has ended")
	}
	m.fire(lifecycle.TimerBackoff, time.Second)
	if _, ok := conditionOf(*r, codeInstallReplaced); ok || m.state.Launch == "" {
		t.Errorf("of the process %q it is shown, too", m.state.Launch)
	}
	m.crash()
	if got := conditionsOf(t, r, m.now, seen); len(got) != 0 {
		t.Errorf("a late line of the first process: %q", got)
	}
}

// TestReplacedFilesAreForgottenWithAStop: a person has taken over.
func TestReplacedFilesAreForgottenWithAStop(t *testing.T) {
	m, r := follow(t)
	m.give(lifecycle.StartRequested{Command: 1})
	last := m.state.Launch
	m.crash() // and the line is read after that
	if got := conditionsOf(t, r, m.now, InstallReplaced{Launch: last, At: m.now}); !slices.Equal(got,
		[]string{"install-replaced came"}) {
		t.Errorf("the last words of the process: %q", got)
	}
	m.give(lifecycle.StopRequested{Command: 2})
	if got := r.Conditions(); m.state.Phase != lifecycle.PhaseStopped || len(got) != 0 {
		t.Errorf("%s: %+v", m.state.Phase, got)
	}
}

func TestReplacedFilesOfAnAttachedGatewayEndWithItsBoot(t *testing.T) {
	r := New(Settings{Gateway: "main"}, lifecycle.New())
	at := time.Now()
	attached := func(boot string) lifecycle.State {
		return lifecycle.State{
			Phase: lifecycle.PhaseRunning, Attached: true, LastHello: &lifecycle.Hello{BootID: boot},
		}
	}
	r, _ = r.Step(Change{After: attached("1"), At: at})
	r, _ = r.See(InstallReplaced{At: at}, at)
	if c, ok := conditionOf(r, codeInstallReplaced); !ok || strings.Contains(c.Hint, "gatehost restart") {
		t.Errorf("condition = %+v, %v: gatehost did not start it", c, ok)
	}
	if r, _ = r.Step(Change{Before: attached("1"), After: attached("2"), At: at}); len(r.Conditions()) != 0 {
		t.Errorf("after its restart: %+v", r.Conditions())
	}
	if r, _ = r.Step(Change{Before: attached("2"), After: lifecycle.State{}, At: at}); len(r.Conditions()) != 0 {
		t.Errorf("after it is stopped: %+v", r.Conditions())
	}
}

// TestHeapThatWasUsedUpIsShownAfterTheEnd: the gateway is started again by itself, and the condition says why it was
// gone. The line and the end come in any order, and another program may have written the line.
func TestHeapThatWasUsedUpIsShownAfterTheEnd(t *testing.T) {
	abort := func(m *machine, x lifecycle.Exit) {
		x.Known, x.At = true, m.now
		m.give(lifecycle.ProcessExited{Launch: m.state.Launch, Exit: x})
	}
	for _, row := range []struct {
		name  string
		exit  lifecycle.Exit
		late  bool
		shown bool
	}{
		{"the line, then the end", lifecycle.Exit{Signal: "SIGABRT"}, false, true},
		{"the end, then the line", lifecycle.Exit{Signal: "SIGABRT"}, true, true},
		{"a shell's code", lifecycle.Exit{Code: 134}, false, true},
		{"the line of a child of a gateway that ended in order", lifecycle.Exit{}, false, false},
		{"the line of a child of a gateway that failed", lifecycle.Exit{Code: 1}, true, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			m, r := follow(t)
			m.give(lifecycle.StartRequested{Command: 1})
			line := HeapExhausted{Launch: m.state.Launch, At: m.now}
			if !row.late {
				*r, _ = r.See(line, m.now)
			}
			if _, ok := conditionOf(*r, codeOutOfMemory); ok {
				t.Error("it is shown while the process lives")
			}
			abort(m, row.exit)
			if row.late {
				*r, _ = r.See(line, m.now)
			}
			m.fire(lifecycle.TimerBackoff, time.Second)
			c, ok := conditionOf(*r, codeOutOfMemory)
			if ok != row.shown || ok && !strings.Contains(c.Hint, "[gateways.main.launch.env]") {
				t.Fatalf("condition = %+v, %v", c, ok)
			}
			if !ok {
				return
			}
			if due := r.Due(); due.Sub(line.At) < heapFor {
				t.Errorf("it ends after %v", due.Sub(line.At))
			}
			if *r, _ = r.See(Passed{}, r.Due()); len(r.Conditions()) != 0 {
				t.Errorf("when it is due it stays: %+v", r.Conditions())
			}
		})
	}
}
