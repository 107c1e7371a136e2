package doctors

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/lastgood"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// TestDiagnosisRepeatsWhatStatusShows gives the host's own findings of each state, and the word of the result.
func TestDiagnosisRepeatsWhatStatusShows(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	portTaken := &lifecycle.Problem{Code: "port_conflict", Message: "port 1 is held by python3", Hint: "end it"}
	running := lifecycle.State{Phase: lifecycle.PhaseRunning, RunningSince: now.Add(-time.Second)}
	back := running
	back.Reconnects, back.LastExit = 3, &lifecycle.Exit{Known: true, Code: 1}
	recovered := back
	recovered.RunningSince = now.Add(-time.Hour)
	failed := func(code, text string) lifecycle.State {
		return lifecycle.State{Phase: lifecycle.PhaseError, Err: &lifecycle.Problem{Code: code, Message: text}}
	}
	invalid := failed("config-invalid", "bad")
	repaired := failed(codeRepaired, "was repaired")
	suppressed := []lifecycle.Condition{{Code: "channels-suppressed", Message: "three unclean ends"}}
	for name, row := range map[string]struct {
		k       known
		found   []string // codes that doctors found
		skipped int
		want    string // code severity, of the host's findings
		outcome string
		says    string
	}{
		"running, nothing wrong": {k: known{state: running}, outcome: "healthy"},
		"running, a doctor was silent": {
			k: known{state: running}, skipped: 1, outcome: "nothing-found", says: "could answer",
		},
		"running, a condition": {
			k: known{state: running, conditions: suppressed}, want: "channels-suppressed warning", outcome: "findings",
		},
		"crash loop, up just now":   {k: known{state: back}, want: "recovered-recently warning", outcome: "findings"},
		"recovered for long enough": {k: known{state: recovered}, outcome: "healthy"},
		"crash loop, down just now": {
			k: known{state: lifecycle.State{
				Phase: lifecycle.PhaseBackoff, Cause: lifecycle.Problem{Code: "exited", Message: "the gateway ended: code=1"},
			}},
			want: "exited error", outcome: "findings",
		},
		"reconnecting without a cause": {
			k: known{state: lifecycle.State{Phase: lifecycle.PhaseReady}}, want: "reconnecting error", outcome: "findings",
		},
		"between two attempts of a start": {
			k: known{state: lifecycle.State{
				Phase: lifecycle.PhaseRetryWait, Flow: lifecycle.FlowStart,
				Cause: lifecycle.Problem{Code: "not_ready", Message: "m"},
			}},
			want: "not_ready error", outcome: "findings",
		},
		"in error": {
			k: known{state: lifecycle.State{Phase: lifecycle.PhaseError, Err: portTaken}}, want: "port_conflict error",
			outcome: "findings",
		},
		"in error, a doctor knows the cause": {
			k: known{state: lifecycle.State{Phase: lifecycle.PhaseError, Err: portTaken}}, found: []string{"port-conflict"},
			outcome: "findings",
		},
		"in error, the file was changed since": {
			k: known{state: invalid, changed: true}, want: "config-invalid error", outcome: "findings",
		},
		"repaired, not started": {k: known{state: repaired}, outcome: "nothing-found", says: "was repaired"},
		"stopped":               {k: known{state: lifecycle.New()}, outcome: "nothing-found", says: "the gateway is stopped"},
		"starting": {
			k: known{state: lifecycle.State{Phase: lifecycle.PhaseReady, Flow: lifecycle.FlowStart}}, outcome: "nothing-found",
			says: "the gateway is starting",
		},
		"stopping": {
			k:       known{state: lifecycle.State{Phase: lifecycle.PhaseClearing, After: lifecycle.AfterRest}},
			outcome: "nothing-found", says: "the gateway is stopping",
		},
	} {
		row.k.gateway, row.k.stable = "main", time.Minute
		var found []repair.Found
		for _, code := range row.found {
			found = append(found, repair.Found{Finding: doctor.Finding{Code: code}})
		}
		var got []string
		for _, f := range row.k.findings(found, now) {
			got = append(got, f.Finding.Code+" "+f.Finding.Severity.String())
			found = append(found, f)
		}
		if text := strings.Join(got, ", "); text != row.want {
			t.Errorf("%s: findings %q, want %q", name, text, row.want)
		}
		if o := row.k.outcome(found, row.skipped); o.Outcome != row.outcome || !strings.Contains(o.Detail, row.says) {
			t.Errorf("%s: %+v, want %s that says %q", name, o, row.outcome, row.says)
		}
	}
}

// target is a gateway that is down, with a configuration file.
type target struct {
	path    string
	state   lifecycle.State
	mode    lifecycle.RepairMode
	chain   []repair.Named
	startup func() (lifecycle.Outcome, error)
}

func (g *target) Facts() plugin.GatewayFacts {
	return plugin.GatewayFacts{
		Name: "main", StateDir: filepath.Dir(g.path), ConfigPath: g.path, Command: []string{"openclaw"},
	}
}
func (g *target) Redact() func(string) string { return func(s string) string { return s } }
func (g *target) Exec(context.Context, repair.Job, func(plugin.Line)) (repair.Ran, error) {
	return repair.Ran{}, errors.New("nothing is run here")
}
func (g *target) Chain() []repair.Named  { return g.chain }
func (g *target) RestoresByItself() bool { return g.mode == lifecycle.RepairAuto }

func (g *target) RepairsByItself() bool                            { return g.mode == lifecycle.RepairAuto }
func (g *target) State() lifecycle.State                           { return g.state }
func (g *target) Conditions() []lifecycle.Condition                { return nil }
func (g *target) StableAfter() time.Duration                       { return time.Minute }
func (g *target) Stop(context.Context) (lifecycle.Outcome, error)  { return lifecycle.Outcome{}, nil }
func (g *target) Start(context.Context) (lifecycle.Outcome, error) { return g.startup() }
func (g *target) Publish(events.Type, any)                         {}
func (g *target) PortOwner(context.Context) string                 { return "" }
func (g *target) Revise(_ context.Context, since time.Time, p lifecycle.Problem) error {
	if g.state.PhaseSince.Equal(since) {
		g.state.Err = &p
	}
	return nil
}

const broken = `{"gateway": {`

// reader finds the configuration invalid as long as it is the broken one.
type reader struct {
	doctor.Fake
	path string
}

func (r *reader) Diagnose(context.Context, doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	data, err := os.ReadFile(r.path)
	if err != nil || string(data) != broken {
		return doctor.Diagnosis{}, err
	}
	return doctor.Diagnosis{Findings: []doctor.Finding{{
		Code: doctor.CodeConfigInvalid, Severity: plugin.SeverityError, Text: "the configuration is invalid", Fatal: true,
	}}}, nil
}

// patient returns the doctors of a gateway whose configuration is broken, of which a sound one is kept.
func patient(t *testing.T) (*Doctors, *target) {
	t.Helper()
	dir := t.TempDir()
	g := &target{path: filepath.Join(dir, "openclaw.json"), mode: lifecycle.RepairAuto}
	g.chain = []repair.Named{{Name: "reader", Doctor: &reader{path: g.path}}}
	g.state = lifecycle.State{Phase: lifecycle.PhaseError, PhaseSince: time.Unix(1, 0), Up: true, Err: &lifecycle.Problem{
		Code: "config-invalid", Message: "the configuration is invalid",
	}}
	store, err := lastgood.NewStore(filepath.Join(dir, "good"), "main", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{`{"gateway": {}}`, broken} {
		if err := os.WriteFile(g.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if text == broken {
			break
		}
		look, err := repair.StateOf(g.path)
		if err == nil {
			_, _, err = store.Keep(look)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return New(Options{
		Gateway: "main", Target: g, RepairDir: filepath.Join(dir, "repairs"), LastGood: store, Log: hclog.NewNullLogger(),
	}), g
}

func request(t *testing.T, d *Doctors, req control.DoctorRequest) *control.DoctorResult {
	t.Helper()
	var last *control.DoctorResult
	err := d.Request(t.Context(), req, func(m control.DoctorMessage) {
		if m.Result != nil {
			last = m.Result
		}
	})
	if err != nil || last == nil {
		t.Fatalf("%+v: %v, %v", req, last, err)
	}
	return last
}

// TestRepairReplacesTheErrorAndNamesTheNextCommand: status must not go on showing what was repaired.
func TestRepairReplacesTheErrorAndNamesTheNextCommand(t *testing.T) {
	d, g := patient(t)
	got := request(t, d, control.DoctorRequest{Action: control.DoctorRepair, Restore: control.RestoreLastGood})
	if got.Outcome != "repaired" || got.Next != "gatehost start main" {
		t.Errorf("result %+v", got)
	}
	if e := g.state.Err; e.Code != codeRepaired || !strings.Contains(e.Hint, "gatehost start main") {
		t.Errorf("error %+v", e)
	}
	if got := request(t, d, control.DoctorRequest{Action: control.DoctorDiagnose}); got.Outcome != "nothing-found" {
		t.Errorf("a diagnosis after it: %+v", got)
	}
	got = request(t, d, control.DoctorRequest{Action: control.DoctorUndo})
	if got.Outcome != "undone" || g.state.Err.Code != codeUndone || got.Next != "gatehost start main" {
		t.Errorf("undone: %+v, error %+v", got, g.state.Err)
	}
}

// TestWhatAPersonUndidIsNotRepairedByTheHost until a person acts, also by the next host.
func TestWhatAPersonUndidIsNotRepairedByTheHost(t *testing.T) {
	d, g := patient(t)
	diagnose := func(d *Doctors) lifecycle.Diagnosed { return d.Diagnose(t.Context(), lifecycle.Incident{}, nil, nil) }
	if first := diagnose(d); first.Plan == "" {
		t.Fatalf("it is not repaired at all: %+v", first)
	}
	request(t, d, control.DoctorRequest{Action: control.DoctorRepair})
	got := request(t, d, control.DoctorRequest{Action: control.DoctorUndo})
	if !strings.Contains(got.Detail, "does not repair config-invalid by itself") {
		t.Errorf("result %+v", got)
	}
	next := New(d.o) // of the next host
	held := diagnose(next)
	if held.Plan != "" || !held.Found || !held.Problem.Fatal ||
		!strings.Contains(held.Problem.Hint, "gatehost doctor main --repair") {
		t.Errorf("it is repaired again: %+v", held)
	}
	next.Resume()
	if got := diagnose(next); got.Plan == "" {
		t.Errorf("a person has acted, and it is not repaired: %+v", got)
	}
	request(t, next, control.DoctorRequest{Action: control.DoctorRepair})
	request(t, next, control.DoctorRequest{Action: control.DoctorUndo})
	request(t, next, control.DoctorRequest{Action: control.DoctorRepair}) // by a person
	if err := os.WriteFile(g.path, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := diagnose(next); got.Plan == "" {
		t.Errorf("a person has repaired it, and it is not repaired when it breaks again: %+v", got)
	}
}

// TestUndoThatIsRepairedAgainSaysSo, and fails: the file is not what the person asked for.
func TestUndoThatIsRepairedAgainSaysSo(t *testing.T) {
	d, g := patient(t)
	request(t, d, control.DoctorRequest{Action: control.DoctorRepair})
	g.state = lifecycle.State{Phase: lifecycle.PhaseRunning, Launch: "A"}
	g.startup = func() (lifecycle.Outcome, error) {
		d.Resume() // a person starts it at the same time
		got := d.Diagnose(t.Context(), lifecycle.Incident{}, nil, nil)
		return lifecycle.Outcome{Kind: lifecycle.OutcomeApplied}, d.Repair(t.Context(), got.Plan)
	}
	got := request(t, d, control.DoctorRequest{Action: control.DoctorUndo, Stop: true})
	if got.Error == nil || !strings.Contains(got.Error.Message, "done again by itself") {
		t.Errorf("result %+v", got)
	}
	g.startup = func() (lifecycle.Outcome, error) {
		why := &lifecycle.Problem{Code: "x", Message: "it fails"}
		return lifecycle.Outcome{Kind: lifecycle.OutcomeFailed, Problem: why}, nil
	}
	got = request(t, d, control.DoctorRequest{Action: control.DoctorUndo, Stop: true})
	if got.Error == nil || !strings.Contains(got.Error.Message, "did not start: it fails") {
		t.Errorf("the gateway does not start with what was brought back: %+v", got)
	}
}

// TestPreflightNamesWhatWouldFailTheStart, unless the host would repair it by itself.
func TestPreflightNamesWhatWouldFailTheStart(t *testing.T) {
	d, g := patient(t)
	if err := d.Preflight(t.Context()); err != nil {
		t.Errorf("the host repairs it by itself: %v", err)
	}
	g.mode = lifecycle.RepairAsk
	err := d.Preflight(t.Context())
	if err == nil || !strings.Contains(err.Error(), "configuration is invalid") ||
		!strings.Contains(fault.HintOf(err), "--restore last-good") {
		t.Errorf("got %v, hint %q", err, fault.HintOf(err))
	}
	g.mode = lifecycle.RepairAuto
	if err := d.held.add(doctor.CodeConfigInvalid, "a repair"); err != nil {
		t.Fatal(err)
	}
	if d.Preflight(t.Context()) == nil {
		t.Error("a repair that a person undid is not made by itself")
	}
	g.chain = []repair.Named{{Name: "silent", Doctor: &doctor.Fake{Err: errors.New("it is down")}}}
	if err := d.Preflight(t.Context()); err != nil {
		t.Errorf("no doctor can say: %v", err)
	}
	g.chain = []repair.Named{{Name: "warns", Doctor: &doctor.Fake{Findings: []doctor.Finding{
		{Code: "x", Severity: plugin.SeverityError}, {Code: "y", Severity: plugin.SeverityWarning, Fatal: true},
	}}}}
	if err := d.Preflight(t.Context()); err != nil {
		t.Errorf("what keeps no start back: %v", err)
	}
}
