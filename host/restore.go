package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// remedy is what is known to be wrong and what could be done about it: the doctors' plan first, since it keeps what the user changed, and
// where that fails, or there is none, the configuration with which the gateway ran last.
type remedy struct {
	repair.Diagnosis
	config  bool         // something is wrong with the configuration
	about   int          // the finding that says so, when config
	restore *restoration // nil: nothing is kept that differs from what is there
}

// restoration brings back a kept configuration.
type restoration struct {
	kept repair.Kept
	plan doctor.Plan
}

// addOwn adds what the host itself knows about the configuration.
func (m *medic) addOwn(r *remedy) {
	r.about = slices.IndexFunc(r.Findings, func(f repair.Found) bool {
		return f.Finding.Code == doctor.CodeConfigInvalid || f.Finding.Code == doctor.CodeConfigMissing
	})
	r.config = r.about >= 0
	if r.config {
		r.restore = m.lastGood()
		return
	}
	path := m.g.facts().ConfigPath
	if path == "" {
		return
	}
	if look, err := repair.LookAt(path); err != nil || look.Exists {
		return
	}
	if r.restore = m.lastGood(); r.restore == nil {
		return // it never had one
	}
	r.Findings = append(r.Findings, repair.Found{Doctor: control.HostDoctor, Finding: doctor.Finding{
		Code: doctor.CodeConfigMissing, Severity: plugin.SeverityWarning,
		Text: "the gateway's configuration " + path + " is gone; the gateway starts without it, and with nothing of what was configured",
		Hint: "nothing has to be done if that is what was wanted",
	}})
	r.config, r.about = true, len(r.Findings)-1
}

// lastGood is how the kept configuration that ran last would be brought back. When it is what is there already, it is not the file that
// is to blame, and an older one is no better.
func (m *medic) lastGood() *restoration {
	r, err := m.restoration(control.RestoreLastGood)
	if err != nil {
		m.g.log.Debug("no kept configuration can be brought back", "reason", err)
		return nil
	}
	return r
}

// restoration plans to bring back a kept configuration, by its id. Errors: fault.NotFound, fault.FailedPrecondition (it is there already).
func (m *medic) restoration(id string) (*restoration, error) {
	path := m.g.facts().ConfigPath
	if path == "" {
		return nil, fault.New(fault.NotFound, "cannot bring back a configuration: the gateway is not known to have a file of it")
	}
	kept := m.g.keeper.good.List(path)
	i := 0
	if id != control.RestoreLastGood {
		i = slices.IndexFunc(kept, func(k repair.Kept) bool { return k.ID == id })
	}
	if i < 0 || i >= len(kept) {
		return nil, fault.New(fault.NotFound, fmt.Sprintf("cannot bring back a configuration: none is kept of %s under %q", path, id)).
			WithHint("`gatehost doctor " + m.g.name + " --history` lists what is kept")
	}
	content, err := m.g.keeper.good.Content(kept[i])
	if err != nil {
		return nil, err
	}
	now, err := repair.LookAt(path)
	if err != nil {
		return nil, err
	}
	if now.SHA256 == kept[i].SHA256 {
		return nil, fault.New(fault.FailedPrecondition, "cannot bring back the configuration: "+path+" is the one with which the gateway ran")
	}
	r := &restoration{kept: kept[i], plan: doctor.Plan{
		Title: "bring back the configuration with which the gateway ran on " + kept[i].Last.UTC().Format("2006-01-02 15:04:05 UTC"),
		Steps: []doctor.Step{{
			Title:     "keep what is there beside it, bring back " + kept[i].ID,
			WriteFile: &doctor.WriteFileStep{Path: path, Content: content, ExpectedSHA256: now.SHA256},
		}},
	}}
	hands, err := m.hands()
	if err != nil {
		return nil, err
	}
	return r, hands.Check(r.plan)
}

// restores says whether the host may bring back a configuration without being told to by name: where the operator's configuration says so,
// and the file is known to keep the gateway from starting. The validator also warns of files that the gateway takes.
func (m *medic) restores(r remedy) bool {
	return r.config && r.restore != nil && m.g.conf().Repair.Restore == control.RestoreLastGood &&
		r.Findings[r.about].Finding.Severity >= plugin.SeverityError
}

// offer is what an operator can type, where the host may not do it by itself.
func (m *medic) offer(r remedy) string {
	if !r.config || r.restore == nil || m.restores(r) {
		return ""
	}
	return fmt.Sprintf("; or bring back the configuration with which it ran on %s: `gatehost doctor %s --repair --restore %s`",
		r.restore.kept.Last.UTC().Format("2006-01-02 15:04:05 UTC"), m.g.name, control.RestoreLastGood)
}

// heal does what a remedy says. A doctor's plan that fails, or does not help, is taken back, and the kept configuration brought back where
// the host may: both are one repair.
func (m *medic) heal(ctx context.Context, r remedy, tell func(control.DoctorMessage)) (repair.Result, error) {
	if r.Proposal != nil {
		result, err := m.operate(ctx, r.Proposal, tell)
		over := err == nil || ctx.Err() != nil || errors.Is(err, fault.ErrPluginGone) || errors.Is(err, fault.ErrConflict)
		if over || !r.config {
			return result, err
		}
		r.restore = m.lastGood() // afresh: somebody may have mended the file meanwhile
		if !m.restores(r) {
			return result, m.withOffer(r, err)
		}
		m.g.log.Warn("the doctor could not repair the configuration", "plugin", r.Proposal.Doctor, "error", err)
		if err := m.announce(control.HostDoctor, r.restore.plan, tell); err != nil {
			return repair.Result{}, err
		}
	}
	if r.restore == nil {
		return repair.Result{}, fault.New(fault.NotFound, "there is no plan to execute")
	}
	return m.bringBack(ctx, r.restore, m.finding(r), tell)
}

func (m *medic) finding(r remedy) string {
	if !r.config {
		return ""
	}
	return r.Findings[r.about].Finding.Code
}

// withOffer adds to the error of a repair what else can be done.
func (m *medic) withOffer(r remedy, err error) error {
	hint := fault.HintOf(err) + m.offer(r)
	if hint == "" {
		return err
	}
	return fault.Wrap(fault.CodeOf(err), "", err).WithHint(strings.TrimPrefix(hint, "; or "))
}

// announce tells what will be done, or would be if it were asked for.
func (m *medic) announce(who string, plan doctor.Plan, tell func(control.DoctorMessage)) error {
	hands, err := m.hands()
	if err != nil {
		return err
	}
	diff, err := hands.Preview(plan)
	if err != nil {
		return err
	}
	m.g.watch.publish(events.GatewayDoctorPlan, planOf(who, plan, ""))
	tell(control.DoctorMessage{Type: control.DoctorPlanMessage, Plan: planOf(who, plan, diff)})
	return nil
}

// operate executes a doctor's plan.
func (m *medic) operate(ctx context.Context, p *repair.Proposal, tell func(control.DoctorMessage)) (repair.Result, error) {
	m.g.log.Info("repairing", "plugin", p.Doctor, "finding", p.Finding.Code, "plan", p.Plan.Title)
	d := m.g.host.plugins.Doctor(p.Doctor)
	facts := m.g.facts()
	return m.execute(ctx, repair.Order{
		Plan: p.Plan, Doctor: p.Doctor, Finding: p.Finding.Code,
		Delegate: func(ctx context.Context, step string, tell func(doctor.Progress)) (doctor.RepairResult, error) {
			return d.Repair(ctx, doctor.RepairRequest{Gateway: facts, Finding: p.Finding, StepID: step}, tell)
		},
		Verify: func(ctx context.Context) error { return m.verify(ctx, p) },
	}, tell)
}

// verify asks the doctor whether its plan has helped. Exit 0 of the vendor's doctor does not mean that the gateway will take the file
// (docs/openclaw.md §5).
func (m *medic) verify(ctx context.Context, p *repair.Proposal) error {
	chain := m.doctors()
	i := slices.IndexFunc(chain, func(n repair.Named) bool { return n.Name == p.Doctor })
	if i < 0 {
		return nil
	}
	facts := m.g.facts()
	v, err := repair.RunVerification(ctx, chain[i], facts, p.Finding, m.gatherer(facts))
	if err != nil {
		m.g.log.Warn("the doctor cannot tell whether its plan has helped", "plugin", p.Doctor, "error", err)
	}
	if v.Outcome != doctor.OutcomeNotHelped {
		return nil
	}
	still := "it has not helped: "
	if p.Finding.Code == doctor.CodeConfigInvalid {
		still = "the configuration is still broken after it: "
	}
	return fault.New(fault.FailedPrecondition, still+cmp.Or(v.Text, p.Finding.Text)).WithHint(cmp.Or(v.Hint, p.Finding.Hint))
}

// bringBack puts a kept configuration in the place of a broken one, which stays beside it.
func (m *medic) bringBack(ctx context.Context, r *restoration, finding string, tell func(control.DoctorMessage)) (repair.Result, error) {
	m.g.log.Info("bringing back the last configuration that ran", "finding", finding, "id", r.kept.ID, "last", r.kept.Last.Format(time.RFC3339))
	return m.execute(ctx, repair.Order{Plan: r.plan, Doctor: control.HostDoctor, Finding: finding, KeepAside: true}, tell)
}

// execute has a plan executed and tells how it goes.
func (m *medic) execute(ctx context.Context, o repair.Order, tell func(control.DoctorMessage)) (repair.Result, error) {
	hands, err := m.hands()
	if err != nil {
		return repair.Result{}, err
	}
	o.Progress = func(x repair.Progress) {
		text := x.Text
		if text == "" {
			text = fmt.Sprintf("step %d of %d: %s", x.Step, x.Steps, x.Title)
		}
		message := control.DoctorMessage{Type: control.DoctorProgressMessage, Progress: text}
		m.g.watch.publish(events.GatewayDoctorProgress, message)
		tell(message)
	}
	result, err := hands.Execute(ctx, o)
	done := resultOf(o.Doctor, o.Plan.Title, result, err)
	m.g.watch.publish(events.GatewayDoctorFinished, done)
	m.g.log.Info("repair ended", "outcome", done.Outcome, "changed", strings.Join(result.Changed, " "), "backup", result.ID,
		"aside", strings.Join(result.Aside, " "))
	return result, err
}

func resultOf(who, title string, r repair.Result, err error) *control.DoctorResult {
	out := &control.DoctorResult{Outcome: "repaired", Doctor: cmp.Or(r.Doctor, who), Title: cmp.Or(r.Title, title), Diff: r.Diff, Backup: r.ID, Aside: r.Aside}
	switch {
	case err != nil:
		out.Outcome, out.Error = "failed", failureOf(err)
	case len(r.Changed) == 0:
		out.Outcome = "nothing-to-do"
	}
	return out
}
