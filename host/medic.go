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
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// medic asks the doctors of one gateway and has their plans executed: for the engine after a failed start, and for an operator.
type medic struct {
	g *gateway

	mu       sync.Mutex       // guards all below
	remedy   remedy           // of the last failed start
	incident *doctor.Incident // of it, and the configuration as it was then
	met      repair.FileState
	executor *repair.Executor // made on first use; it allows one repair at a time
}

func newMedic(g *gateway) *medic { return &medic{g: g} }

// exec runs a command in the gateway's own context: its launcher, its user, its environment.
func (m *medic) exec(ctx context.Context, argv []string, timeout time.Duration, onLine func(plugin.Line)) (launcher.ExecResult, error) {
	cfg := m.g.asLaunched()
	r, err := m.g.buildOf(cfg)
	if err != nil {
		return launcher.ExecResult{}, err
	}
	spec := r.Process
	spec.Argv = argv
	redactor := redactorOf(r)
	res, err := launchersOf(m.g).Exec(ctx, launcher.ExecRequest{
		Gateway: m.g.factsOf(cfg, r), Process: spec, Timeout: timeout,
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
	facts, redactor := m.g.facts(), m.g.redactor()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.executor != nil {
		m.executor.Retarget(facts, redactor.Text)
		return m.executor, nil
	}
	e, err := repair.New(repair.Options{
		Dir: m.g.host.store.RepairDir(), Gateway: facts, Exec: m.exec, Redact: redactor.Text,
	})
	if err != nil {
		return nil, err
	}
	if err := e.Recover(); err != nil {
		m.g.log.Warn("cannot note repairs that an earlier host did not finish", "error", err)
	}
	m.executor = e
	return e, nil
}

// doctors are the chain, in order of the configuration.
func (m *medic) doctors() []repair.Named {
	var chain []repair.Named
	cfg := m.g.host.config()
	for _, name := range m.g.conf().Doctors {
		p := cfg.Plugins[name]
		granted := p != nil && slices.Contains(p.Grant, plugin.GrantGatewayConfig)
		chain = append(chain, repair.Named{Name: name, Doctor: m.g.host.plugins.Doctor(name), Content: granted})
	}
	return chain
}

// ask runs a chain of doctors.
func (m *medic) ask(ctx context.Context, chain []repair.Named, incident *doctor.Incident, check func(doctor.Plan) error) repair.Diagnosis {
	facts := m.g.facts()
	return repair.RunDiagnosis(ctx, chain, doctor.DiagnoseRequest{Gateway: facts, Incident: incident}, m.gatherer(facts), check)
}

// gatherer is what looks at the gateway for a doctor.
func (m *medic) gatherer(facts plugin.GatewayFacts) repair.Gatherer {
	return repair.Gatherer{Gateway: facts, Exec: m.exec, Redact: m.g.redactor().Text}
}

// examine asks all doctors, adds what the host itself knows, and publishes what they say.
func (m *medic) examine(ctx context.Context, incident *doctor.Incident) (remedy, error) {
	hands, err := m.hands()
	if err != nil {
		return remedy{}, err
	}
	r := remedy{Diagnosis: m.ask(ctx, m.doctors(), incident, hands.Check)}
	for _, s := range r.Skipped {
		m.g.log.Warn("doctor was skipped", "plugin", s.Doctor, "error", s.Err)
	}
	m.addOwn(&r)
	if r.config {
		f := &r.Findings[r.about].Finding
		f.Hint, f.Repairable = f.Hint+m.offer(r), f.Repairable || m.restores(r)
	}
	for _, f := range r.Findings {
		m.g.watch.publish(events.GatewayDoctorFinding, findingOf(f))
	}
	return r, nil
}

// intend announces what a failed start would be repaired by.
func (m *medic) intend(r remedy) {
	switch {
	case r.Proposal != nil:
		m.g.watch.publish(events.GatewayDoctorPlan, planOf(r.Proposal.Doctor, r.Proposal.Plan, ""))
	case r.restore != nil:
		m.g.watch.publish(events.GatewayDoctorPlan, planOf(control.HostDoctor, r.restore.plan, ""))
	}
}

// Diagnose implements engine.Medic. Without a doctor, or when none can answer, it finds nothing and the original cause stands.
func (m *medic) Diagnose(ctx context.Context, in engine.Incident) engine.Diagnosis {
	incident := incidentOf(in)
	r, err := m.examine(ctx, incident)
	if err != nil {
		m.g.log.Error("cannot diagnose", "error", err)
		return engine.Diagnosis{}
	}
	met := m.present()
	m.mu.Lock()
	m.remedy, m.incident, m.met = r, incident, met
	m.mu.Unlock()
	f, ok := worst(r.Diagnosis)
	if !ok {
		return engine.Diagnosis{}
	}
	m.intend(r)
	restores := m.restores(r) && f.Code == m.finding(r) // not for another failure that met a broken file
	out := engine.Diagnosis{
		Found: true, Repairable: r.Proposal != nil || restores, OtherOwner: f.OtherOwner,
		Problem: lifecycle.Problem{Code: f.Code, Message: f.Text, Hint: f.Hint, Fatal: f.Fatal},
	}
	if f.OtherOwner {
		out.Problem.Message += m.owner(ctx)
	}
	return out
}

// present is the configuration file as it is now; one that cannot be read is like none.
func (m *medic) present() repair.FileState {
	path := m.g.facts().ConfigPath
	if path == "" {
		return repair.FileState{}
	}
	look, err := repair.StateOf(path)
	if err != nil {
		return repair.FileState{}
	}
	return look
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
	port := m.g.asLaunched().Port
	holders, err := probe.Holders(ctx, port)
	if err != nil || len(holders) == 0 {
		return ""
	}
	return fmt.Sprintf(" (port %d: %s)", port, holders[0])
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

// Repair implements engine.Medic: it does what the last Diagnose found.
func (m *medic) Repair(ctx context.Context) error {
	m.mu.Lock()
	r := m.remedy
	m.remedy = remedy{}
	m.mu.Unlock()
	_, err := m.heal(ctx, r, func(control.DoctorMessage) {})
	return err
}

func findingOf(f repair.Found) *control.DoctorFinding {
	return &control.DoctorFinding{
		Plugin: f.Doctor, Code: f.Finding.Code, Severity: f.Finding.Severity.String(), Text: f.Finding.Text, Hint: f.Finding.Hint,
		Repairable: f.Finding.Repairable, ConfigPath: f.Finding.ConfigPath, Evidence: f.Finding.Evidence,
	}
}

func planOf(who string, p doctor.Plan, diff string) *control.DoctorPlan {
	out := &control.DoctorPlan{Plugin: who, Title: p.Title, Diff: diff}
	for _, s := range p.Steps {
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
