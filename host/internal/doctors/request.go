package doctors

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/host/internal/view"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Request serves `gatehost doctor`: it sends findings, the plan, progress and one result to tell. Errors:
// fault.InvalidArgument for an unknown action, fault.FailedPrecondition when the request does not fit the gateway's
// state, and those of the files.
func (d *Doctors) Request(ctx context.Context, req control.DoctorRequest, tell func(control.DoctorMessage)) error {
	switch req.Action {
	case control.DoctorDiagnose, control.DoctorRepair, "":
	case control.DoctorUndo:
		return d.undo(ctx, req, tell)
	case control.DoctorHistory:
		return d.history(tell)
	default:
		return fault.New(fault.InvalidArgument, fmt.Sprintf("there is no action %q", req.Action))
	}
	r, err := d.examine(ctx, d.lastIncident(), false)
	if err != nil {
		return err
	}
	for _, f := range r.Findings {
		tell(control.DoctorMessage{Type: control.DoctorFindingMessage, Finding: findingOf(f)})
	}
	for _, s := range slices.Concat(r.Skipped, r.refused) {
		tell(control.DoctorMessage{
			Type: control.DoctorSkippedMessage, Skipped: &control.DoctorSkipped{Plugin: s.Doctor, Error: view.Failure(s.Err)},
		})
	}
	if len(r.Findings) == 0 && len(r.Skipped) > 0 && !d.answered(r) && req.Restore == "" {
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
		if r, err = d.chosen(r, req.Restore); err != nil {
			return err
		}
	}
	return d.carryOut(ctx, r, req, tell)
}

// answered reports whether at least one doctor answered.
func (d *Doctors) answered(r assessment) bool { return len(d.o.Target.Chain()) > len(r.Skipped) }

// unanswered is the result when no doctor answered. It does not say that all is well.
func unanswered(r assessment) *control.DoctorResult {
	why := fault.Wrap(fault.Unavailable, "no doctor could say what is wrong", r.Skipped[0].Err).
		WithHint(cmp.Or(fault.HintOf(r.Skipped[0].Err), "run `gatehost plugin list` to see the state of the doctors"))
	return &control.DoctorResult{Outcome: "unanswered", Error: view.Failure(why)}
}

func result(r *control.DoctorResult) control.DoctorMessage {
	return control.DoctorMessage{Type: control.DoctorResultMessage, Result: r}
}

// lastIncident returns the failure from which a diagnosis on request starts: the one that the gateway shows, if it
// shows one. When the configuration was repaired since, what the gateway said about it is no longer true: then it
// returns nil.
func (d *Doctors) lastIncident() *doctor.Incident {
	s := d.o.Target.State()
	if s.Err == nil {
		return nil
	}
	in := &doctor.Incident{ErrorCode: s.Err.Code, ErrorMessage: s.Err.Message}
	if s.LastExit == nil {
		return in
	}
	in.Exit = engine.PluginExit(s.LastExit)
	now := d.present()
	d.mu.Lock()
	defer d.mu.Unlock()
	if last := d.incident; last != nil && last.Exit != nil && last.Exit.At.Equal(in.Exit.At) { // its lines are known
		if !now.Same(d.fileThen) {
			return nil
		}
		in.Lines, in.Symptoms = last.Lines, last.Symptoms
		if in.ErrorCode == d.told { // a finding replaced the failure from which it was made
			in.ErrorCode, in.ErrorMessage = last.ErrorCode, last.ErrorMessage
		}
	}
	return in
}

// chosen returns the assessment with the kept configuration that an operator named. A file in which the doctors find no
// fault is not replaced, unless no doctor could answer.
func (d *Doctors) chosen(r assessment, id string) (assessment, error) {
	if d.answered(r) && !r.config {
		return r, fault.New(fault.FailedPrecondition,
			"cannot bring back a configuration: the doctors find no fault with the present one").
			WithHint("to use another file, stop the gateway and copy it by hand; run `gatehost doctor " + d.o.Gateway +
				" --history` to list what is kept")
	}
	restore, err := d.restoration(id)
	if err != nil {
		return r, err
	}
	r.Proposal, r.restore = nil, restore
	return r, nil
}

// carryOut carries out the plan of an assessment, when the request asks for that and the gateway allows it.
func (d *Doctors) carryOut(
	ctx context.Context, r assessment, req control.DoctorRequest, tell func(control.DoctorMessage),
) error {
	var who string
	var plan doctor.Plan
	switch {
	case r.Proposal != nil:
		who, plan = r.Proposal.Doctor, r.Proposal.Plan
	case r.restore != nil:
		who, plan = control.HostDoctor, r.restore.plan
	default:
		tell(result(withoutPlan(r)))
		return nil
	}
	executor, err := d.executor()
	if err != nil {
		return err
	}
	diff, err := executor.Preview(d.named(who), plan)
	if err != nil {
		return err
	}
	if err := d.announce(who, plan, tell); err != nil {
		return err
	}
	switch {
	case r.Proposal == nil && req.Restore == "" && !d.restores(r):
		tell(result(d.offered(diff, req.DryRun)))
		return nil
	case req.DryRun:
		tell(result(&control.DoctorResult{Outcome: "planned", Doctor: who, Title: plan.Title, Diff: diff}))
		return nil
	}
	up := false
	// A running gateway already uses the configuration that is brought back: it need not stop for that.
	if s := d.o.Target.State(); r.Proposal != nil || s.Public() != lifecycle.Running || s.Owner() != lifecycle.OwnerOwned {
		if up, err = d.stopFor(ctx, req.Stop); err != nil {
			return err
		}
	}
	done, err := d.perform(ctx, r, false, tell)
	d.startAgain(ctx, up)
	tell(result(resultOf(who, plan.Title, done, err)))
	return nil
}

// withoutPlan is the result of a repair for which there is no plan. A doctor that found an error, and whose plan could
// not be had or was refused, has failed: what it found is still there.
func withoutPlan(r assessment) *control.DoctorResult {
	for _, found := range r.Findings {
		i := slices.IndexFunc(r.Skipped, func(s repair.Skipped) bool { return s.Doctor == found.Doctor })
		if i >= 0 && found.Finding.Severity == plugin.SeverityError {
			return &control.DoctorResult{Outcome: "failed", Doctor: found.Doctor, Error: view.Failure(r.Skipped[i].Err)}
		}
	}
	return &control.DoctorResult{Outcome: "nothing-to-do"}
}

// offered is the result of a repair that the operator has to request by name.
func (d *Doctors) offered(diff string, dryRun bool) *control.DoctorResult {
	out := &control.DoctorResult{Outcome: "offered", Doctor: control.HostDoctor, Diff: diff}
	if !dryRun {
		out.Error = &control.Failure{
			Code: string(fault.FailedPrecondition), Message: "no doctor knows a repair; nothing was changed",
			Hint: "to carry out the plan, add `--restore " + control.RestoreLastGood + "`",
		}
	}
	return out
}

// stopFor makes sure that no process of the gateway runs: otherwise the gateway's own doctor refuses (docs/openclaw.md
// §4, B317). It stops the gateway only when stop is set.
func (d *Doctors) stopFor(ctx context.Context, stop bool) (wasUp bool, err error) {
	s := d.o.Target.State()
	if s.Owner() == lifecycle.OwnerNone && (s.Phase == lifecycle.PhaseStopped || s.Phase == lifecycle.PhaseError) {
		return false, nil
	}
	if !stop {
		return false, fault.New(fault.FailedPrecondition,
			"cannot change the configuration while the gateway is "+string(s.Public())).
			WithHint("add --stop: it stops the gateway, changes the configuration, and starts the gateway again")
	}
	o, err := d.o.Target.Stop(ctx)
	if err == nil && o.Problem != nil {
		err = fault.New(fault.Internal, o.Problem.Message)
	}
	return true, err
}

// startAgain starts the gateway that stopFor stopped.
func (d *Doctors) startAgain(ctx context.Context, wasUp bool) {
	if !wasUp {
		return
	}
	if o, err := d.o.Target.Start(ctx); err != nil || o.Problem != nil {
		d.o.Log.Error("gateway did not start after its configuration was changed", "error", view.OutcomeError(o, err))
	}
}

// undo takes a repair back: the last one, when the files are as it left them, or any other by its id. It first keeps a
// copy of what is there now.
func (d *Doctors) undo(ctx context.Context, req control.DoctorRequest, tell func(control.DoctorMessage)) error {
	executor, err := d.executor()
	if err != nil {
		return err
	}
	id, named := req.ID, req.ID != ""
	if !named {
		last, err := executor.Last()
		if err != nil {
			return err
		}
		id = last.ID
	}
	title := "undo the repair " + id
	diff, err := executor.PreviewUndo(id, named)
	if err != nil {
		return err
	}
	if req.DryRun {
		tell(result(&control.DoctorResult{Outcome: "planned", Doctor: control.HostDoctor, Title: title, Diff: diff}))
		return nil
	}
	up, err := d.stopFor(ctx, req.Stop)
	if err != nil {
		return err
	}
	r, err := executor.Undo(ctx, id, named)
	d.startAgain(ctx, up)
	if err != nil {
		return err
	}
	out := &control.DoctorResult{Outcome: "undone", Doctor: control.HostDoctor, Title: title, Diff: r.Diff, Backup: r.ID}
	d.o.Target.Publish(events.GatewayDoctorFinished, out)
	d.o.Log.Info("repair was undone", "repair", id, "backup", r.ID)
	tell(result(out))
	return nil
}

// history lists repairs and kept configurations, the newest first.
func (d *Doctors) history(tell func(control.DoctorMessage)) error {
	executor, err := d.executor()
	if err != nil {
		return err
	}
	records, err := executor.Records()
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
	now := d.present()
	for _, k := range d.o.LastGood.List(d.o.Target.Facts().ConfigPath) {
		tell(control.DoctorMessage{Type: control.DoctorKeptMessage, Kept: &control.DoctorKept{
			ID: k.ID, Path: k.Path, Bytes: k.Bytes, First: control.At(k.First), Last: control.At(k.Last),
			Present: now.Exists && now.Path == k.Path && now.SHA256 == k.SHA256,
		}})
	}
	tell(result(&control.DoctorResult{Outcome: "listed"}))
	return nil
}
