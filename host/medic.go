package host

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/probe"
	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// medic asks the doctors of one gateway and has their plans executed: for the engine after a failed start, and for an operator.
type medic struct {
	g *gateway

	mu       sync.Mutex // guards proposal and executor
	proposal *repair.Proposal
	executor *repair.Executor // made on first use; it allows one repair at a time
}

func newMedic(g *gateway) *medic { return &medic{g: g} }

// exec runs a command in the gateway's own context: its launcher, its user, its environment.
func (m *medic) exec(ctx context.Context, argv []string, timeout time.Duration, onLine func(plugin.Line)) (launcher.ExecResult, error) {
	r, err := m.g.build()
	if err != nil {
		return launcher.ExecResult{}, err
	}
	spec := r.Process
	spec.Argv = argv
	redactor := redactorOf(r)
	res, err := m.g.host.plugins.Launcher(m.g.cfg.Launcher).Exec(ctx, launcher.ExecRequest{
		Gateway: m.g.factsOf(r), Process: spec, Timeout: timeout,
	}, func(l plugin.Line) error {
		l.Text = redactor.Text(l.Text)
		onLine(l)
		return nil
	})
	m.cut(argv, res)
	return res, err
}

// cut says that a command printed more than was kept of it.
func (m *medic) cut(argv []string, res launcher.ExecResult) {
	if res.DroppedBytes > 0 {
		m.g.log.Warn("the output of a command was cut: it printed too much", "command", argv[0], "dropped_bytes", res.DroppedBytes)
	}
}

func (m *medic) hands() (*repair.Executor, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.executor != nil {
		return m.executor, nil
	}
	e, err := repair.New(repair.Options{
		Dir: m.g.host.store.RepairDir(), Gateway: m.g.facts(), Exec: m.exec, Redact: m.g.redactor().Text,
	})
	m.executor = e
	return e, err
}

// examine runs the chain of doctors and publishes what they say.
func (m *medic) examine(ctx context.Context, incident *doctor.Incident) (repair.Diagnosis, error) {
	hands, err := m.hands()
	if err != nil {
		return repair.Diagnosis{}, err
	}
	var chain []repair.Named
	for _, name := range m.g.cfg.Doctors {
		granted := slices.Contains(m.g.host.cfg.Plugins[name].Grant, plugin.GrantGatewayConfig)
		chain = append(chain, repair.Named{Name: name, Doctor: m.g.host.plugins.Doctor(name), Content: granted})
	}
	facts := m.g.facts()
	d := repair.RunDiagnosis(ctx, chain, doctor.DiagnoseRequest{Gateway: facts, Incident: incident},
		repair.Gatherer{Gateway: facts, Exec: m.exec, Redact: m.g.redactor().Text}, hands.Check)
	for _, s := range d.Skipped {
		m.g.log.Warn("doctor was skipped", "plugin", s.Doctor, "error", s.Err)
	}
	for _, f := range d.Findings {
		m.g.watch.publish(events.GatewayDoctorFinding, findingOf(f))
	}
	if d.Proposal != nil {
		m.g.watch.publish(events.GatewayDoctorPlan, planOf(d.Proposal, ""))
	}
	return d, nil
}

// Diagnose implements engine.Medic. Without a doctor, or when none can answer, it finds nothing and the original cause stands.
func (m *medic) Diagnose(ctx context.Context, in engine.Incident) engine.Diagnosis {
	d, err := m.examine(ctx, incidentOf(in))
	if err != nil {
		m.g.log.Error("cannot diagnose", "error", err)
		return engine.Diagnosis{}
	}
	m.mu.Lock()
	m.proposal = d.Proposal
	m.mu.Unlock()
	f, ok := worst(d)
	if !ok {
		return engine.Diagnosis{}
	}
	out := engine.Diagnosis{
		Found: true, Repairable: d.Proposal != nil, OtherOwner: f.OtherOwner,
		Problem: lifecycle.Problem{Code: f.Code, Message: f.Text, Hint: f.Hint, Fatal: f.Fatal},
	}
	if f.OtherOwner {
		out.Problem.Message += m.owner(ctx)
	}
	return out
}

// worst is the finding that counts: what can be repaired, else the first error.
func worst(d repair.Diagnosis) (doctor.Finding, bool) {
	if d.Proposal != nil {
		return d.Proposal.Finding, true
	}
	for _, f := range d.Findings {
		if f.Finding.Severity >= plugin.SeverityError {
			return f.Finding, true
		}
	}
	return doctor.Finding{}, false
}

// owner names whoever has the port now, for a finding that says that somebody has.
func (m *medic) owner(ctx context.Context) string {
	holders, err := probe.Holders(ctx, m.g.cfg.Port)
	if err != nil || len(holders) == 0 {
		return ""
	}
	return fmt.Sprintf(" (port %d: %s)", m.g.cfg.Port, holders[0])
}

func incidentOf(in engine.Incident) *doctor.Incident {
	out := &doctor.Incident{
		Lines: in.Lines, Symptoms: in.Symptoms, ErrorCode: in.Problem.Code, ErrorMessage: in.Problem.Message,
		Attempt: in.Attempt, Repaired: in.Repaired,
	}
	if in.Exit != nil {
		out.Exit = &plugin.Exit{Code: in.Exit.Code, Signal: in.Exit.Signal, At: in.Exit.At, Known: in.Exit.Known}
	}
	return out
}

// Repair implements engine.Medic: it executes the plan that the last Diagnose found.
func (m *medic) Repair(ctx context.Context) error {
	m.mu.Lock()
	p := m.proposal
	m.proposal = nil
	m.mu.Unlock()
	if p == nil {
		return fault.New(fault.NotFound, "there is no plan to execute")
	}
	_, err := m.operate(ctx, p, func(string) {})
	return err
}

// operate executes a plan and tells how it goes.
func (m *medic) operate(ctx context.Context, p *repair.Proposal, progress func(string)) (repair.Result, error) {
	hands, err := m.hands()
	if err != nil {
		return repair.Result{}, err
	}
	m.g.log.Info("repairing", "plugin", p.Doctor, "finding", p.Finding.Code, "plan", p.Plan.Title)
	d := m.g.host.plugins.Doctor(p.Doctor)
	facts := m.g.facts()
	result, err := hands.Execute(ctx, p.Plan,
		func(ctx context.Context, step string, tell func(doctor.Progress)) (doctor.RepairResult, error) {
			return d.Repair(ctx, doctor.RepairRequest{Gateway: facts, Finding: p.Finding, StepID: step}, tell)
		},
		func(x repair.Progress) {
			text := x.Text
			if text == "" {
				text = fmt.Sprintf("step %d of %d: %s", x.Step, x.Steps, x.Title)
			}
			m.g.watch.publish(events.GatewayDoctorProgress, control.DoctorMessage{Type: control.DoctorProgressMessage, Progress: text})
			progress(text)
		})
	done := resultOf(result, err)
	m.g.watch.publish(events.GatewayDoctorFinished, done)
	m.g.log.Info("repair ended", "outcome", done.Outcome, "changed", strings.Join(result.Changed, " "), "backup", result.ID)
	return result, err
}

func resultOf(r repair.Result, err error) *control.DoctorResult {
	out := &control.DoctorResult{Outcome: "repaired", Diff: r.Diff, Backup: r.ID}
	switch {
	case err != nil:
		out.Outcome, out.Error = "failed", failureOf(err)
	case len(r.Changed) == 0:
		out.Outcome = "nothing-to-do"
	}
	return out
}

func findingOf(f repair.Found) *control.DoctorFinding {
	return &control.DoctorFinding{
		Plugin: f.Doctor, Code: f.Finding.Code, Severity: f.Finding.Severity.String(), Text: f.Finding.Text, Hint: f.Finding.Hint,
		Repairable: f.Finding.Repairable, Evidence: f.Finding.Evidence,
	}
}

func planOf(p *repair.Proposal, diff string) *control.DoctorPlan {
	out := &control.DoctorPlan{Plugin: p.Doctor, Title: p.Plan.Title, Diff: diff}
	for _, s := range p.Plan.Steps {
		text := s.Title
		switch {
		case s.Exec != nil:
			text += ": " + strings.Join(s.Exec.Argv, " ")
		case s.WriteFile != nil:
			text += ": write " + s.WriteFile.Path
		}
		out.Steps = append(out.Steps, text)
	}
	return out
}

// visit is `gatehost doctor`: it tells findings, the plan, progress and one result.
func (m *medic) visit(ctx context.Context, req control.DoctorRequest, tell func(control.DoctorMessage)) error {
	switch req.Action {
	case control.DoctorDiagnose, control.DoctorRepair, "":
	case control.DoctorUndo:
		return m.undo(ctx, tell)
	default:
		return fault.New(fault.InvalidArgument, fmt.Sprintf("there is no action %q", req.Action))
	}
	d, err := m.examine(ctx, m.lastIncident())
	if err != nil {
		return err
	}
	for _, f := range d.Findings {
		tell(control.DoctorMessage{Type: control.DoctorFindingMessage, Finding: findingOf(f)})
	}
	if req.Action != control.DoctorRepair {
		outcome := "healthy"
		if len(d.Findings) > 0 {
			outcome = "findings"
		}
		tell(result(&control.DoctorResult{Outcome: outcome}))
		return nil
	}
	return m.carryOut(ctx, d, req, tell)
}

func result(r *control.DoctorResult) control.DoctorMessage {
	return control.DoctorMessage{Type: control.DoctorResultMessage, Result: r}
}

// lastIncident is what a diagnosis on request starts from: the failure that the gateway shows, if it shows one.
func (m *medic) lastIncident() *doctor.Incident {
	s := m.g.engine.Snapshot().State
	if s.Err == nil {
		return nil
	}
	in := &doctor.Incident{ErrorCode: s.Err.Code, ErrorMessage: s.Err.Message}
	if s.LastExit != nil {
		in.Exit = &plugin.Exit{Code: s.LastExit.Code, Signal: s.LastExit.Signal, At: s.LastExit.At, Known: s.LastExit.Known}
	}
	return in
}

func (m *medic) carryOut(ctx context.Context, d repair.Diagnosis, req control.DoctorRequest, tell func(control.DoctorMessage)) error {
	if d.Proposal == nil {
		tell(result(&control.DoctorResult{Outcome: "nothing-to-do"}))
		return nil
	}
	hands, err := m.hands()
	if err != nil {
		return err
	}
	diff, err := hands.Preview(d.Proposal.Plan)
	if err != nil {
		return err
	}
	tell(control.DoctorMessage{Type: control.DoctorPlanMessage, Plan: planOf(d.Proposal, diff)})
	if req.DryRun {
		tell(result(&control.DoctorResult{Outcome: "planned", Diff: diff}))
		return nil
	}
	wasUp, err := m.quiet(ctx, req.Stop)
	if err != nil {
		return err
	}
	r, err := m.operate(ctx, d.Proposal, func(text string) {
		tell(control.DoctorMessage{Type: control.DoctorProgressMessage, Progress: text})
	})
	if wasUp {
		if o, startErr := m.g.engine.Start(ctx); startErr != nil || o.Problem != nil {
			m.g.log.Error("gateway did not start after the repair", "error", errorOf(o, startErr))
		}
	}
	tell(result(resultOf(r, err)))
	return nil
}

// quiet sees to it that no process of the gateway runs: its own doctor refuses otherwise (gateway-facts §4, B317).
func (m *medic) quiet(ctx context.Context, stop bool) (wasUp bool, err error) {
	s := m.g.engine.Snapshot().State
	if s.Owner() == lifecycle.OwnerNone && (s.Phase == lifecycle.PhaseStopped || s.Phase == lifecycle.PhaseError) {
		return false, nil
	}
	if !stop {
		return false, fault.New(fault.FailedPrecondition, "cannot repair while the gateway is "+string(s.Public())).
			WithHint("add --stop: it stops the gateway, repairs, and starts it again")
	}
	o, err := m.g.engine.Stop(ctx, engine.How{})
	if err == nil && o.Problem != nil {
		err = fault.New(fault.Internal, o.Problem.Message)
	}
	return true, err
}

func (m *medic) undo(ctx context.Context, tell func(control.DoctorMessage)) error {
	if _, err := m.quiet(ctx, false); err != nil {
		return err
	}
	hands, err := m.hands()
	if err != nil {
		return err
	}
	r, err := hands.UndoLast(ctx, false)
	if err != nil {
		return err
	}
	tell(result(&control.DoctorResult{Outcome: "undone", Diff: r.Diff, Backup: r.ID}))
	return nil
}
