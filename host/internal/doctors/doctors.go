package doctors

import (
	"context"
	"fmt"
	"slices"
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
	"github.com/gatehost/gatehost/shared/plugin"
)

// Target is the gateway as its doctors see it. Its methods are called from several goroutines.
type Target interface {
	// Facts returns what plugins may know about the gateway now.
	Facts() plugin.GatewayFacts
	// Redact returns a function that replaces the secrets that the gateway has now.
	Redact() func(string) string
	// Exec runs a job in the gateway's own context: its launcher, its user, its environment as far as the job may have it.
	// The lines are redacted.
	Exec(ctx context.Context, job repair.Job, onLine func(plugin.Line)) (repair.Ran, error)
	// Chain returns the doctors in the order of the configuration.
	Chain() []repair.Named
	// RestoresByItself reports whether the configuration lets the host restore the last good configuration without a
	// request.
	RestoresByItself() bool
	// RepairsByItself reports whether the host carries out plans without a request.
	RepairsByItself() bool
	State() lifecycle.State
	// Conditions returns the defects that status shows.
	Conditions() []lifecycle.Condition
	// StableAfter is how long a gateway has to run until it has recovered.
	StableAfter() time.Duration
	// Revise replaces the error that the gateway has shown since then.
	Revise(ctx context.Context, since time.Time, p lifecycle.Problem) error
	Stop(ctx context.Context) (lifecycle.Outcome, error)
	Start(ctx context.Context) (lifecycle.Outcome, error)
	Publish(t events.Type, data any)
	// PortOwner names the process that has the gateway's port now, in brackets; "" when none is known.
	PortOwner(ctx context.Context) string
}

// Options are the parts that the doctors of a gateway use.
type Options struct {
	Gateway   string
	Target    Target
	RepairDir string
	LastGood  *lastgood.Store
	Doctor    func(plugin string) doctor.Doctor
	Log       hclog.Logger
}

// Doctors asks the doctors of one gateway and has their plans carried out: for the engine after a failed start, and for
// an operator. It is safe for concurrent use.
type Doctors struct {
	o    Options
	held held

	// mu guards what a failed start leaves for its repair and for the operator's next request: they come from different
	// goroutines.
	mu         sync.Mutex
	assessment assessment       // of the last failed start
	plan       lifecycle.PlanID // the name of its plan; "": there is none
	plans      int              // how many were named so far
	incident   *doctor.Incident // of that start
	told       string           // the code of the finding that the start ended with; "": none
	fileThen   repair.FileState // the configuration when the start failed
	cached     *repair.Executor // made on first use; it allows one repair at a time
}

// New makes the doctors of a gateway.
func New(o Options) *Doctors { return &Doctors{o: o, held: heldIn(o.RepairDir, o.Gateway)} }

// Diagnose implements engine.Doctors. Without a doctor, or when none can answer, it finds nothing, and the start keeps
// its own error.
func (d *Doctors) Diagnose(
	ctx context.Context, in lifecycle.Incident, lines []plugin.Line, symptoms []plugin.Symptom,
) lifecycle.Diagnosed {
	incident := &doctor.Incident{
		Exit: engine.PluginExit(in.Exit), Lines: lines, Symptoms: symptoms,
		ErrorCode: in.Problem.Code, ErrorMessage: in.Problem.Message, Attempt: in.Attempt, Repaired: in.Repaired,
	}
	r, err := d.examine(ctx, incident, true)
	if err != nil {
		d.o.Log.Error("cannot diagnose", "error", err)
		return lifecycle.Diagnosed{}
	}
	fileNow := d.present()
	f, ok := worst(r.Diagnosis)
	// not when the start failed for another reason beside a broken file
	restores := d.restores(r) && f.Code == d.finding(r)
	undone := d.heldBy(f.Code)
	plan := d.propose(r, incident, fileNow, ok && undone == "" && (r.Proposal != nil || restores))
	d.tell(f.Code)
	if !ok {
		return lifecycle.Diagnosed{}
	}
	if plan != "" {
		d.publishPlan(r)
	}
	out := lifecycle.Diagnosed{
		Found: true, Plan: plan, OtherOwner: f.OtherOwner,
		Problem: lifecycle.Problem{Code: f.Code, Message: f.Text, Hint: f.Hint, Fatal: f.Fatal},
	}
	if undone != "" {
		out.Problem.Fatal = true
		out.Problem.Message += "; the host does not repair it by itself, since the repair " + undone + " was undone"
		out.Problem.Hint = strings.Join(slices.DeleteFunc([]string{
			"run `gatehost doctor " + d.o.Gateway + " --repair` to repair it again", out.Problem.Hint,
		}, func(s string) bool { return s == "" }), "; or ")
	}
	if f.OtherOwner {
		out.Problem.Message += d.o.Target.PortOwner(ctx)
		out.Problem.RetryAfter = otherOwnerRetry
	}
	return out
}

// tell remembers the code of the finding with which a failed start ends.
func (d *Doctors) tell(code string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = code
}

// Repair implements engine.Doctors. It carries out the named plan, once. Error: fault.FailedPrecondition when another
// plan was proposed last; nothing is changed then.
func (d *Doctors) Repair(ctx context.Context, plan lifecycle.PlanID) error {
	r, err := d.take(plan)
	if err != nil {
		return err
	}
	_, err = d.perform(ctx, r, true, func(control.DoctorMessage) {})
	return err
}

// Resume turns automatic repair on again for findings whose repair was undone: a person acts.
func (d *Doctors) Resume() {
	if err := d.held.clear(); err != nil {
		d.o.Log.Warn("cannot turn automatic repair on again", "error", err)
	}
}

// heldBy returns the repair that a person undid, when that keeps the host from repairing a finding by itself; "" else.
func (d *Doctors) heldBy(finding string) string {
	all, err := d.held.all()
	if err != nil {
		d.o.Log.Warn("cannot read for which findings automatic repair is off", "error", err)
	}
	return all[finding]
}

// examine asks all doctors, adds what the host itself knows, and publishes the findings. automatic says that no
// operator has asked: a plan has to be one that may be carried out without a request.
func (d *Doctors) examine(ctx context.Context, incident *doctor.Incident, automatic bool) (assessment, error) {
	executor, err := d.executor()
	if err != nil {
		return assessment{}, err
	}
	check := executor.Check
	if automatic {
		check = executor.CheckAutomatic
	}
	r := d.ask(ctx, d.o.Target.Chain(), incident, check)
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

// executor returns the executor of the gateway's repairs, with the facts and secrets of now.
func (d *Doctors) executor() (*repair.Executor, error) {
	facts, redact := d.o.Target.Facts(), d.o.Target.Redact()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cached != nil {
		d.cached.Retarget(facts, redact)
		return d.cached, nil
	}
	e, err := repair.New(repair.Options{
		Dir: d.o.RepairDir, Gateway: facts, Exec: d.o.Target.Exec, Redact: redact, Report: d.commandRan,
	})
	if err != nil {
		return nil, err
	}
	if err := e.Recover(); err != nil {
		d.o.Log.Warn("cannot record which repairs an earlier host did not finish", "error", err)
	}
	d.cached = e
	return e, nil
}

// ask runs a chain of doctors.
func (d *Doctors) ask(
	ctx context.Context, chain []repair.Named, incident *doctor.Incident, check func(repair.Named, doctor.Plan) error,
) assessment {
	facts, refused := d.o.Target.Facts(), &refusals{}
	evidence := d.gatherer(facts)
	evidence.Report = func(c repair.Command) {
		refused.add(c)
		d.commandRan(c)
	}
	diagnosis := repair.RunDiagnosis(
		ctx, chain, doctor.DiagnoseRequest{Gateway: facts, Incident: incident}, evidence, check,
	)
	return assessment{Diagnosis: diagnosis, refused: refused.all()}
}

// gatherer collects the evidence that a doctor asks for.
func (d *Doctors) gatherer(facts plugin.GatewayFacts) repair.Gatherer {
	return repair.Gatherer{Gateway: facts, Exec: d.o.Target.Exec, Redact: d.o.Target.Redact(), Report: d.commandRan}
}

// publishPlan publishes the plan by which a failed start would be repaired.
func (d *Doctors) publishPlan(r assessment) {
	switch {
	case r.Proposal != nil:
		d.o.Target.Publish(events.GatewayDoctorPlan, planOf(r.Proposal.Doctor, r.Proposal.Plan, ""))
	case r.restore != nil:
		d.o.Target.Publish(events.GatewayDoctorPlan, planOf(control.HostDoctor, r.restore.plan, ""))
	}
}

// present returns the state of the configuration file now. A file that cannot be read counts as missing.
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

// otherOwnerRetry is how soon a start is tried again that failed since another process owns the port or the state. Only
// an attempt shows that it is gone: OpenClaw's locks name no process that can be seen from here in every case.
const otherOwnerRetry = 15 * time.Second

// worst returns the finding that decides: the one with the proposed plan, else the first error.
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

// propose stores a diagnosis and returns the name of its plan; "" when there is nothing that can be repaired.
func (d *Doctors) propose(
	r assessment, incident *doctor.Incident, fileThen repair.FileState, repairable bool,
) lifecycle.PlanID {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.assessment, d.incident, d.fileThen, d.plan = r, incident, fileThen, ""
	if repairable {
		d.plans++
		d.plan = lifecycle.PlanID(fmt.Sprintf("plan-%d", d.plans))
	}
	return d.plan
}

// take returns the assessment whose plan has that name, once. It must be the plan that was proposed last.
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

func findingOf(f repair.Found) *control.DoctorFinding {
	return &control.DoctorFinding{
		Plugin: f.Doctor, Code: f.Finding.Code, Severity: f.Finding.Severity.String(), Text: f.Finding.Text,
		Hint: f.Finding.Hint, Repairable: f.Finding.Repairable, ConfigPath: f.Finding.ConfigPath,
		Evidence: f.Finding.Evidence,
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
