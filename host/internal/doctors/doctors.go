package doctors

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/lastgood"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Target is the gateway as its doctors see it.
type Target interface {
	// Facts is what plugins may know about the gateway now.
	Facts() plugin.GatewayFacts
	// Redact hides the secrets that the gateway has now.
	Redact() func(string) string
	// Exec runs a command in the gateway's own context: its launcher, its user, its environment. Its lines are redacted.
	Exec(ctx context.Context, argv []string, timeout time.Duration, onLine func(plugin.Line)) (launcher.ExecResult, error)
	// Chain is the doctors, in the order of the configuration.
	Chain() []repair.Named
	// RestoresByItself reports whether the configuration lets the host restore the last good configuration unasked.
	RestoresByItself() bool
	State() lifecycle.State
	Stop(ctx context.Context) (lifecycle.Outcome, error)
	Start(ctx context.Context) (lifecycle.Outcome, error)
	Publish(t events.Type, data any)
	// PortOwner names the process that has the gateway's port now, in brackets; "" when none is known.
	PortOwner(ctx context.Context) string
}

// Options are what the doctors of a gateway need.
type Options struct {
	Gateway   string
	Target    Target
	RepairDir string
	LastGood  *lastgood.Store
	Doctor    func(plugin string) doctor.Doctor
	Log       hclog.Logger
}

// Doctors asks the doctors of one gateway and has their plans executed: for the engine after a failed start, and for an operator.
type Doctors struct {
	o Options

	// mu guards what a failed start leaves for the repair and for the operator's next request, which come from goroutines of their own.
	mu         sync.Mutex
	assessment assessment       // of the last failed start
	plan       lifecycle.PlanID // the name of its plan; "": it has none
	plans      int              // named so far
	incident   *doctor.Incident // of it, and the configuration as it was then
	met        repair.FileState
	made       *repair.Executor // made on first use; it allows one repair at a time
}

// New makes the doctors of a gateway.
func New(o Options) *Doctors { return &Doctors{o: o} }

func (d *Doctors) executor() (*repair.Executor, error) {
	facts, redact := d.o.Target.Facts(), d.o.Target.Redact()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made != nil {
		d.made.Retarget(facts, redact)
		return d.made, nil
	}
	e, err := repair.New(repair.Options{Dir: d.o.RepairDir, Gateway: facts, Exec: d.o.Target.Exec, Redact: redact})
	if err != nil {
		return nil, err
	}
	if err := e.Recover(); err != nil {
		d.o.Log.Warn("cannot note repairs that an earlier host did not finish", "error", err)
	}
	d.made = e
	return e, nil
}

// ask runs a chain of doctors.
func (d *Doctors) ask(ctx context.Context, chain []repair.Named, incident *doctor.Incident, check func(doctor.Plan) error) repair.Diagnosis {
	facts := d.o.Target.Facts()
	return repair.RunDiagnosis(ctx, chain, doctor.DiagnoseRequest{Gateway: facts, Incident: incident}, d.gatherer(facts), check)
}

// gatherer is what looks at the gateway for a doctor.
func (d *Doctors) gatherer(facts plugin.GatewayFacts) repair.Gatherer {
	return repair.Gatherer{Gateway: facts, Exec: d.o.Target.Exec, Redact: d.o.Target.Redact()}
}

// examine asks all doctors, adds what the host itself knows, and publishes what they say.
func (d *Doctors) examine(ctx context.Context, incident *doctor.Incident) (assessment, error) {
	executor, err := d.executor()
	if err != nil {
		return assessment{}, err
	}
	r := assessment{Diagnosis: d.ask(ctx, d.o.Target.Chain(), incident, executor.Check)}
	for _, s := range r.Skipped {
		d.o.Log.Warn("doctor was skipped", "plugin", s.Doctor, "error", s.Err)
	}
	d.addOwn(&r)
	if r.config {
		f := &r.Findings[r.about].Finding
		f.Hint, f.Repairable = f.Hint+d.offer(r), f.Repairable || d.restores(r)
	}
	for _, f := range r.Findings {
		d.o.Target.Publish(events.GatewayDoctorFinding, findingOf(f))
	}
	return r, nil
}

// publishPlan announces what a failed start would be repaired by.
func (d *Doctors) publishPlan(r assessment) {
	switch {
	case r.Proposal != nil:
		d.o.Target.Publish(events.GatewayDoctorPlan, planOf(r.Proposal.Doctor, r.Proposal.Plan, ""))
	case r.restore != nil:
		d.o.Target.Publish(events.GatewayDoctorPlan, planOf(control.HostDoctor, r.restore.plan, ""))
	}
}

// Diagnose implements engine.Doctors. Without a doctor, or when none can answer, it finds nothing and the original cause stands.
func (d *Doctors) Diagnose(
	ctx context.Context, in lifecycle.Incident, lines []plugin.Line, symptoms []plugin.Symptom,
) lifecycle.Diagnosed {
	incident := &doctor.Incident{
		Exit: engine.PluginExit(in.Exit), Lines: lines, Symptoms: symptoms,
		ErrorCode: in.Problem.Code, ErrorMessage: in.Problem.Message, Attempt: in.Attempt, Repaired: in.Repaired,
	}
	r, err := d.examine(ctx, incident)
	if err != nil {
		d.o.Log.Error("cannot diagnose", "error", err)
		return lifecycle.Diagnosed{}
	}
	met := d.present()
	f, ok := worst(r.Diagnosis)
	restores := d.restores(r) && f.Code == d.finding(r) // not for another failure that met a broken file
	plan := d.propose(r, incident, met, ok && (r.Proposal != nil || restores))
	if !ok {
		return lifecycle.Diagnosed{}
	}
	d.publishPlan(r)
	out := lifecycle.Diagnosed{
		Found: true, Plan: plan, OtherOwner: f.OtherOwner,
		Problem: lifecycle.Problem{Code: f.Code, Message: f.Text, Hint: f.Hint, Fatal: f.Fatal},
	}
	if f.OtherOwner {
		out.Problem.Message += d.o.Target.PortOwner(ctx)
	}
	return out
}

// present is the configuration file as it is now; one that cannot be read is like none.
func (d *Doctors) present() repair.FileState {
	path := d.o.Target.Facts().ConfigPath
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

// propose keeps what a diagnosis found, and returns the name of its plan; "" when it cannot be repaired.
func (d *Doctors) propose(
	r assessment, incident *doctor.Incident, met repair.FileState, repairable bool,
) lifecycle.PlanID {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.assessment, d.incident, d.met, d.plan = r, incident, met, ""
	if repairable {
		d.plans++
		d.plan = lifecycle.PlanID(fmt.Sprintf("plan-%d", d.plans))
	}
	return d.plan
}

// take returns the assessment whose plan has that name, once. It must be the one that was proposed last.
func (d *Doctors) take(plan lifecycle.PlanID) (assessment, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if plan == "" || plan != d.plan {
		return assessment{}, fault.New(fault.FailedPrecondition,
			fmt.Sprintf("cannot repair by %q: the plan that was proposed last is %q; nothing was changed", plan, d.plan))
	}
	r := d.assessment
	d.assessment, d.plan = assessment{}, ""
	return r, nil
}

// Repair implements engine.Doctors.
func (d *Doctors) Repair(ctx context.Context, plan lifecycle.PlanID) error {
	r, err := d.take(plan)
	if err != nil {
		return err
	}
	_, err = d.perform(ctx, r, func(control.DoctorMessage) {})
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
