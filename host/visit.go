package host

import (
	"cmp"
	"context"
	"fmt"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// visit is `gatehost doctor`: it tells findings, the plan, progress and one result.
func (m *medic) visit(ctx context.Context, req control.DoctorRequest, tell func(control.DoctorMessage)) error {
	switch req.Action {
	case control.DoctorDiagnose, control.DoctorRepair, "":
	case control.DoctorUndo:
		return m.undo(ctx, req, tell)
	case control.DoctorHistory:
		return m.history(tell)
	default:
		return fault.New(fault.InvalidArgument, fmt.Sprintf("there is no action %q", req.Action))
	}
	r, err := m.examine(ctx, m.lastIncident())
	if err != nil {
		return err
	}
	for _, f := range r.Findings {
		tell(control.DoctorMessage{Type: control.DoctorFindingMessage, Finding: findingOf(f)})
	}
	for _, s := range r.Skipped {
		tell(control.DoctorMessage{Type: control.DoctorSkippedMessage, Skipped: &control.DoctorSkipped{Plugin: s.Doctor, Error: failureOf(s.Err)}})
	}
	if len(r.Findings) == 0 && len(r.Skipped) > 0 && !m.answered(r) && req.Restore == "" {
		tell(result(unanswered(r)))
		return nil
	}
	if req.Action != control.DoctorRepair {
		outcome := "healthy"
		if len(r.Findings) > 0 {
			outcome = "findings"
		}
		tell(result(&control.DoctorResult{Outcome: outcome}))
		return nil
	}
	if req.Restore != "" {
		if r, err = m.chosen(r, req.Restore); err != nil {
			return err
		}
	}
	return m.carryOut(ctx, r, req, tell)
}

// answered says whether any doctor did.
func (m *medic) answered(r remedy) bool { return len(m.g.conf().Doctors) > len(r.Skipped) }

// unanswered is the result when nobody knows: not that all is well.
func unanswered(r remedy) *control.DoctorResult {
	why := fault.Wrap(fault.Unavailable, "no doctor could say what is wrong", r.Skipped[0].Err).
		WithHint(cmp.Or(fault.HintOf(r.Skipped[0].Err), "`gatehost plugin list` shows how the doctors are"))
	return &control.DoctorResult{Outcome: "unanswered", Error: failureOf(why)}
}

func result(r *control.DoctorResult) control.DoctorMessage {
	return control.DoctorMessage{Type: control.DoctorResultMessage, Result: r}
}

// lastIncident is what a diagnosis on request starts from: the failure that the gateway shows, if it shows one. Somebody may have mended the
// configuration since: then what the gateway said about it is no longer true.
func (m *medic) lastIncident() *doctor.Incident {
	s := m.g.engine.Snapshot().State
	if s.Err == nil {
		return nil
	}
	in := &doctor.Incident{ErrorCode: s.Err.Code, ErrorMessage: s.Err.Message}
	if s.LastExit == nil {
		return in
	}
	in.Exit = &plugin.Exit{Code: s.LastExit.Code, Signal: s.LastExit.Signal, At: s.LastExit.At, Known: s.LastExit.Known}
	now := m.present()
	m.mu.Lock()
	defer m.mu.Unlock()
	if last := m.incident; last != nil && last.Exit != nil && last.Exit.At.Equal(in.Exit.At) { // its words are known
		if !now.Same(m.met) {
			return nil
		}
		in.Lines, in.Symptoms = last.Lines, last.Symptoms
	}
	return in
}

// chosen is the remedy that an operator asked for by name. What no doctor finds fault with is not replaced, unless none could answer.
func (m *medic) chosen(r remedy, id string) (remedy, error) {
	if m.answered(r) && !r.config {
		return r, fault.New(fault.FailedPrecondition, "cannot bring back a configuration: the doctors find no fault with the present one").
			WithHint("stop the gateway and copy the file by hand if you want another one; `gatehost doctor " + m.g.name + " --history` lists what is kept")
	}
	restore, err := m.restoration(id)
	if err != nil {
		return r, err
	}
	r.Proposal, r.restore = nil, restore
	return r, nil
}

// carryOut does what there is to do, when that was asked for and the gateway is quiet.
func (m *medic) carryOut(ctx context.Context, r remedy, req control.DoctorRequest, tell func(control.DoctorMessage)) error {
	var who string
	var plan doctor.Plan
	switch {
	case r.Proposal != nil:
		who, plan = r.Proposal.Doctor, r.Proposal.Plan
	case r.restore != nil:
		who, plan = control.HostDoctor, r.restore.plan
	default:
		tell(result(&control.DoctorResult{Outcome: "nothing-to-do"}))
		return nil
	}
	hands, err := m.hands()
	if err != nil {
		return err
	}
	diff, err := hands.Preview(plan)
	if err != nil {
		return err
	}
	if err := m.announce(who, plan, tell); err != nil {
		return err
	}
	switch {
	case r.Proposal == nil && req.Restore == "" && !m.restores(r):
		tell(result(m.offered(diff, req.DryRun)))
		return nil
	case req.DryRun:
		tell(result(&control.DoctorResult{Outcome: "planned", Doctor: who, Title: plan.Title, Diff: diff}))
		return nil
	}
	up := false
	// A running gateway goes by what is brought back already: it need not be stopped for that.
	if s := m.g.engine.Snapshot().State; r.Proposal != nil || s.Public() != lifecycle.Running || s.Owner() != lifecycle.OwnerOwned {
		if up, err = m.quiet(ctx, req.Stop); err != nil {
			return err
		}
	}
	done, err := m.heal(ctx, r, tell)
	m.goOn(ctx, up)
	tell(result(resultOf(who, plan.Title, done, err)))
	return nil
}

// offered is the result of a repair that has to be asked for by name.
func (m *medic) offered(diff string, dryRun bool) *control.DoctorResult {
	out := &control.DoctorResult{Outcome: "offered", Doctor: control.HostDoctor, Diff: diff}
	if !dryRun {
		out.Error = &control.Failure{
			Code: string(fault.FailedPrecondition), Message: "no doctor knows a repair; nothing was changed",
			Hint: "to do what the plan says, add `--restore " + control.RestoreLastGood + "`",
		}
	}
	return out
}

// quiet sees to it that no process of the gateway runs: its own doctor refuses otherwise (docs/openclaw.md §4, B317).
func (m *medic) quiet(ctx context.Context, stop bool) (wasUp bool, err error) {
	s := m.g.engine.Snapshot().State
	if s.Owner() == lifecycle.OwnerNone && (s.Phase == lifecycle.PhaseStopped || s.Phase == lifecycle.PhaseError) {
		return false, nil
	}
	if !stop {
		return false, fault.New(fault.FailedPrecondition, "cannot change the configuration while the gateway is "+string(s.Public())).
			WithHint("add --stop: it stops the gateway, does it, and starts it again")
	}
	o, err := m.g.engine.Stop(ctx, engine.How{})
	if err == nil && o.Problem != nil {
		err = fault.New(fault.Internal, o.Problem.Message)
	}
	return true, err
}

// goOn starts what quiet has stopped.
func (m *medic) goOn(ctx context.Context, wasUp bool) {
	if !wasUp {
		return
	}
	if o, err := m.g.engine.Start(ctx); err != nil || o.Problem != nil {
		m.g.log.Error("gateway did not start after its configuration was changed", "error", errorOf(o, err))
	}
}

// undo takes a repair back: the last one, where the files are as it left them, or any other by its name; what is there now is kept before.
func (m *medic) undo(ctx context.Context, req control.DoctorRequest, tell func(control.DoctorMessage)) error {
	hands, err := m.hands()
	if err != nil {
		return err
	}
	id, named := req.ID, req.ID != ""
	if !named {
		last, err := hands.Last()
		if err != nil {
			return err
		}
		id = last.ID
	}
	title := "take back the repair " + id
	diff, err := hands.PreviewUndo(id, named)
	if err != nil {
		return err
	}
	if req.DryRun {
		tell(result(&control.DoctorResult{Outcome: "planned", Doctor: control.HostDoctor, Title: title, Diff: diff}))
		return nil
	}
	up, err := m.quiet(ctx, req.Stop)
	if err != nil {
		return err
	}
	r, err := hands.Undo(ctx, id, named)
	m.goOn(ctx, up)
	if err != nil {
		return err
	}
	out := &control.DoctorResult{Outcome: "undone", Doctor: control.HostDoctor, Title: title, Diff: r.Diff, Backup: r.ID}
	m.g.watch.publish(events.GatewayDoctorFinished, out)
	m.g.log.Info("repair was taken back", "repair", id, "backup", r.ID)
	tell(result(out))
	return nil
}

// history lists repairs and kept configurations, newest first.
func (m *medic) history(tell func(control.DoctorMessage)) error {
	hands, err := m.hands()
	if err != nil {
		return err
	}
	records, err := hands.Records()
	if err != nil {
		return err
	}
	for _, r := range records {
		out := &control.DoctorRecord{
			ID: r.ID, Time: control.At(r.Time), Doctor: r.Doctor, Title: r.Title, Finding: r.Finding, Outcome: string(r.Outcome),
			UndoOf: r.UndoOf, UndoneBy: r.UndoneBy, Aside: r.Aside, Undoable: r.Undoable(),
		}
		for _, f := range r.Files {
			out.Files = append(out.Files, f.Path)
		}
		tell(control.DoctorMessage{Type: control.DoctorRecordMessage, Record: out})
	}
	now := m.present()
	for _, k := range m.g.keeper.good.List(m.g.facts().ConfigPath) {
		tell(control.DoctorMessage{Type: control.DoctorKeptMessage, Kept: &control.DoctorKept{
			ID: k.ID, Path: k.Path, Bytes: k.Bytes, First: control.At(k.First), Last: control.At(k.Last),
			Present: now.Exists && now.Path == k.Path && now.SHA256 == k.SHA256,
		}})
	}
	tell(result(&control.DoctorResult{Outcome: "listed"}))
	return nil
}
