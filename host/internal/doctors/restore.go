package doctors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/lastgood"
	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/host/internal/view"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// assessment says what is wrong and what could repair it: first the doctors' plan, since it keeps what the user
// changed; when that fails, or there is none, the configuration with which the gateway ran last.
type assessment struct {
	repair.Diagnosis
	config  bool             // something is wrong with the configuration
	about   int              // the finding that says so, when config
	restore *restoration     // nil: no kept configuration differs from the present one
	refused []repair.Skipped // evidence that doctors asked for and may not have; they answered without it
}

// restoration is the plan to bring back a kept configuration.
type restoration struct {
	kept lastgood.Version
	plan doctor.Plan
}

// addOwn adds what the host itself knows about the configuration.
func (d *Doctors) addOwn(r *assessment) {
	if err := repair.Readable(d.o.Target.Facts().ConfigPath); err != nil {
		r.Findings = append(r.Findings, repair.Found{Doctor: control.HostDoctor, Finding: doctor.Finding{
			Code: "config-unreadable", Severity: plugin.SeverityError, Text: err.Error(), Hint: fault.HintOf(err),
		}})
		return
	}
	r.about = slices.IndexFunc(r.Findings, func(f repair.Found) bool {
		return f.Finding.Code == doctor.CodeConfigInvalid || f.Finding.Code == doctor.CodeConfigMissing
	})
	r.config = r.about >= 0
	if r.config {
		r.restore = d.lastGood()
		return
	}
	path := d.o.Target.Facts().ConfigPath
	if path == "" {
		return
	}
	if look, err := repair.StateOf(path); err != nil || look.Exists {
		return
	}
	if r.restore = d.lastGood(); r.restore == nil {
		return // the gateway never had one
	}
	r.Findings = append(r.Findings, repair.Found{Doctor: control.HostDoctor, Finding: doctor.Finding{
		Code: doctor.CodeConfigMissing, Severity: plugin.SeverityWarning,
		Text: "the gateway's configuration " + path + " is gone; the gateway starts without it, " +
			"and with nothing of what was configured",
		Hint: "if the file was removed on purpose, nothing has to be done",
	}})
	r.config, r.about = true, len(r.Findings)-1
}

// lastGood returns the plan to bring back the kept configuration that ran last. It returns nil when that is the present
// file: then the file is not the cause, and an older one is no better.
func (d *Doctors) lastGood() *restoration {
	r, err := d.restoration(control.RestoreLastGood)
	if err != nil {
		d.o.Log.Debug("no kept configuration can be brought back", "reason", err)
		return nil
	}
	return r
}

// restoration plans to bring back a kept configuration, by its id. Errors: fault.NotFound; fault.FailedPrecondition
// when it is the present file.
func (d *Doctors) restoration(id string) (*restoration, error) {
	path := d.o.Target.Facts().ConfigPath
	if path == "" {
		return nil, fault.New(fault.NotFound,
			"cannot bring back a configuration: the path of the gateway's configuration is not known")
	}
	kept := d.o.LastGood.List(path)
	i := 0
	if id != control.RestoreLastGood {
		i = slices.IndexFunc(kept, func(k lastgood.Version) bool { return k.ID == id })
	}
	if i < 0 || i >= len(kept) {
		return nil, fault.New(fault.NotFound,
			fmt.Sprintf("cannot bring back a configuration: none is kept of %s under %q", path, id)).
			WithHint("run `gatehost doctor " + d.o.Gateway + " --history` to list what is kept")
	}
	content, err := d.o.LastGood.Content(kept[i])
	if err != nil {
		return nil, err
	}
	now, err := repair.StateOf(path)
	if err != nil {
		return nil, err
	}
	if now.SHA256 == kept[i].SHA256 {
		return nil, fault.New(fault.FailedPrecondition,
			"cannot bring back the configuration: "+path+" is the one with which the gateway ran")
	}
	r := &restoration{kept: kept[i], plan: doctor.Plan{
		Title: "bring back the configuration with which the gateway ran on " +
			kept[i].Last.UTC().Format("2006-01-02 15:04:05 UTC"),
		Steps: []doctor.Step{{
			Title:     "keep the present file beside it, bring back " + kept[i].ID,
			WriteFile: &doctor.WriteFileStep{Path: path, Content: content, ExpectedSHA256: now.SHA256},
		}},
	}}
	executor, err := d.executor()
	if err != nil {
		return nil, err
	}
	return r, executor.Check(d.named(control.HostDoctor), r.plan)
}

// restores reports whether the host may bring back a configuration without a request that names it: the operator's
// configuration allows that, and the file is known to keep the gateway from starting. The validator also warns about
// files that the gateway accepts.
func (d *Doctors) restores(r assessment) bool {
	return r.config && r.restore != nil && d.o.Target.RestoresByItself() &&
		r.Findings[r.about].Finding.Severity >= plugin.SeverityError
}

// offer returns the command that an operator can type when the host may not restore by itself; "" otherwise.
func (d *Doctors) offer(r assessment) string {
	if !r.config || r.restore == nil || d.restores(r) {
		return ""
	}
	return fmt.Sprintf("; or bring back the configuration with which it ran on %s: "+
		"`gatehost doctor %s --repair --restore %s`",
		r.restore.kept.Last.UTC().Format("2006-01-02 15:04:05 UTC"), d.o.Gateway, control.RestoreLastGood)
}

// perform carries out what an assessment proposes. When a doctor's plan fails, or does not help, it is rolled back, and
// the kept configuration is brought back if the host may do that: both are one repair. automatic says that no operator
// has asked for it.
func (d *Doctors) perform(
	ctx context.Context, r assessment, automatic bool, tell func(control.DoctorMessage),
) (repair.Result, error) {
	if r.Proposal != nil {
		result, err := d.runPlan(ctx, r.Proposal, automatic, tell)
		over := err == nil || ctx.Err() != nil || errors.Is(err, fault.ErrPluginGone) || errors.Is(err, fault.ErrConflict)
		if over || !r.config {
			return result, err
		}
		r.restore = d.lastGood() // read again: an operator may have repaired the file meanwhile
		if !d.restores(r) {
			return result, d.withOffer(r, err)
		}
		d.o.Log.Warn("the doctor could not repair the configuration", "plugin", r.Proposal.Doctor, "error", err)
		if err := d.announce(control.HostDoctor, r.restore.plan, tell); err != nil {
			return repair.Result{}, err
		}
	}
	if r.restore == nil {
		return repair.Result{}, fault.New(fault.NotFound, "there is no plan to execute")
	}
	return d.restoreKept(ctx, r.restore, d.finding(r), tell)
}

func (d *Doctors) finding(r assessment) string {
	if !r.config {
		return ""
	}
	return r.Findings[r.about].Finding.Code
}

// withOffer adds to the error of a repair what else the operator can do.
func (d *Doctors) withOffer(r assessment, err error) error {
	hint := fault.HintOf(err) + d.offer(r)
	if hint == "" {
		return err
	}
	return fault.Wrap(fault.CodeOf(err), "", err).WithHint(strings.TrimPrefix(hint, "; or "))
}

// announce publishes and tells what will be done, or what would be done on request.
func (d *Doctors) announce(who string, plan doctor.Plan, tell func(control.DoctorMessage)) error {
	executor, err := d.executor()
	if err != nil {
		return err
	}
	diff, err := executor.Preview(d.named(who), plan)
	if err != nil {
		return err
	}
	d.o.Target.Publish(events.GatewayDoctorPlan, planOf(who, plan, ""))
	tell(control.DoctorMessage{Type: control.DoctorPlanMessage, Plan: planOf(who, plan, diff)})
	return nil
}

// runPlan carries out a doctor's plan.
func (d *Doctors) runPlan(
	ctx context.Context, p *repair.Proposal, automatic bool, tell func(control.DoctorMessage),
) (repair.Result, error) {
	d.o.Log.Info("repairing", "plugin", p.Doctor, "finding", p.Finding.Code, "plan", p.Plan.Title)
	delegate := d.o.Doctor(p.Doctor)
	facts := d.o.Target.Facts()
	return d.execute(ctx, repair.Request{
		Plan: p.Plan, Doctor: d.named(p.Doctor), Finding: p.Finding.Code, Automatic: automatic,
		Delegate: func(ctx context.Context, step string, tell func(doctor.Progress)) (doctor.RepairResult, error) {
			return delegate.Repair(ctx, doctor.RepairRequest{Gateway: facts, Finding: p.Finding, StepID: step}, tell)
		},
		Verify: func(ctx context.Context) error { return d.verify(ctx, p) },
	}, tell)
}

// named returns a doctor with the grants that it has now. The host's own plans need none, and a doctor that is no
// longer in the chain has none.
func (d *Doctors) named(name string) repair.Named {
	chain := d.o.Target.Chain()
	if i := slices.IndexFunc(chain, func(n repair.Named) bool { return n.Name == name }); i >= 0 {
		return chain[i]
	}
	return repair.Named{Name: name}
}

// verify asks the doctor whether its plan helped. Exit code 0 of the vendor's doctor does not mean that the gateway
// will accept the file (docs/openclaw.md §5).
func (d *Doctors) verify(ctx context.Context, p *repair.Proposal) error {
	chain := d.o.Target.Chain()
	i := slices.IndexFunc(chain, func(n repair.Named) bool { return n.Name == p.Doctor })
	if i < 0 {
		return nil
	}
	facts := d.o.Target.Facts()
	v, err := repair.RunVerification(ctx, chain[i], facts, p.Finding, d.gatherer(facts))
	if err != nil {
		d.o.Log.Warn("the doctor cannot say whether its plan helped", "plugin", p.Doctor, "error", err)
	}
	if v.Outcome != doctor.OutcomeNotHelped {
		return nil
	}
	still := "it has not helped: "
	if p.Finding.Code == doctor.CodeConfigInvalid {
		still = "the configuration is still broken after it: "
	}
	return fault.New(fault.FailedPrecondition, still+cmp.Or(v.Text, p.Finding.Text)).
		WithHint(cmp.Or(v.Hint, p.Finding.Hint))
}

// restoreKept puts a kept configuration in the place of a broken one, which stays beside it.
func (d *Doctors) restoreKept(
	ctx context.Context, r *restoration, finding string, tell func(control.DoctorMessage),
) (repair.Result, error) {
	d.o.Log.Info("bringing back the last configuration that ran", "finding", finding, "id", r.kept.ID,
		"last", r.kept.Last.Format(time.RFC3339))
	return d.execute(
		ctx, repair.Request{Plan: r.plan, Doctor: d.named(control.HostDoctor), Finding: finding, KeepAside: true}, tell,
	)
}

// execute carries out a plan and tells its progress and its end.
func (d *Doctors) execute(
	ctx context.Context, o repair.Request, tell func(control.DoctorMessage),
) (repair.Result, error) {
	executor, err := d.executor()
	if err != nil {
		return repair.Result{}, err
	}
	o.Progress = func(x repair.Progress) {
		text := x.Text
		if text == "" {
			text = fmt.Sprintf("step %d of %d: %s", x.Step, x.Steps, x.Title)
		}
		message := control.DoctorMessage{Type: control.DoctorProgressMessage, Progress: text}
		d.o.Target.Publish(events.GatewayDoctorProgress, message)
		tell(message)
	}
	result, err := executor.Execute(ctx, o)
	done := resultOf(o.Doctor.Name, o.Plan.Title, result, err)
	d.o.Target.Publish(events.GatewayDoctorFinished, done)
	d.o.Log.Info("repair ended", "outcome", done.Outcome, "changed", strings.Join(result.Changed, " "),
		"backup", result.ID, "aside", strings.Join(result.Aside, " "))
	return result, err
}

func resultOf(who, title string, r repair.Result, err error) *control.DoctorResult {
	out := &control.DoctorResult{
		Outcome: "repaired", Doctor: cmp.Or(r.Doctor, who), Title: cmp.Or(r.Title, title), Diff: r.Diff, Backup: r.ID,
		Aside: r.Aside,
	}
	switch {
	case err != nil:
		out.Outcome, out.Error = "failed", view.Failure(err)
	case len(r.Changed) == 0:
		out.Outcome = "nothing-to-do"
	}
	return out
}
