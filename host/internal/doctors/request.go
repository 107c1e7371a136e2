package doctors

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

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
	silent := len(r.Findings) == 0 && len(r.Skipped) > 0 && !d.answered(r) && req.Restore == ""
	k := d.known()
	for _, f := range k.findings(r.Findings, time.Now()) {
		d.o.Target.Publish(events.GatewayDoctorFinding, findingOf(f))
		r.Findings = append(r.Findings, f)
	}
	for _, f := range r.Findings {
		tell(control.DoctorMessage{Type: control.DoctorFindingMessage, Finding: findingOf(f)})
	}
	for _, s := range slices.Concat(r.Skipped, r.refused) {
		tell(control.DoctorMessage{
			Type: control.DoctorSkippedMessage, Skipped: &control.DoctorSkipped{Plugin: s.Doctor, Error: view.Failure(s.Err)},
		})
	}
	if silent {
		tell(result(unanswered(r)))
		return nil
	}
	if req.Action != control.DoctorRepair {
		tell(result(k.outcome(r.Findings, len(r.Skipped))))
		return nil
	}
	if !req.DryRun {
		d.Resume()
	}
	if req.Restore != "" {
		if r, err = d.chosen(r, req.Restore); err != nil {
			return err
		}
	}
	return d.carryOut(ctx, r, req, tell)
}

// Preflight returns the fault of the gateway's configuration that would make its next start fail; nil when there is
// none, when no doctor can say, or when the host repairs it by itself in that start. It publishes nothing, because no
// person has asked for a diagnosis. Without a failed start the validator's finding is a warning, since the gateway
// repairs some of what it refuses when it starts; a restart must not find that out.
func (d *Doctors) Preflight(ctx context.Context) error {
	executor, err := d.executor()
	if err != nil {
		return nil //nolint:nilerr // what cannot be checked keeps no restart back
	}
	r := d.ask(ctx, d.o.Target.Chain(), nil, executor.CheckAutomatic)
	d.addOwn(&r)
	i := slices.IndexFunc(r.Findings, func(f repair.Found) bool {
		return f.Finding.Code == doctor.CodeConfigInvalid ||
			f.Finding.Severity >= plugin.SeverityError && (f.Finding.Fatal || f.Finding.Code == doctor.CodeConfigMissing)
	})
	if i < 0 {
		return nil
	}
	f := r.Findings[i].Finding
	repairs := r.Proposal != nil && r.Proposal.Finding.Code == f.Code ||
		r.restore != nil && d.o.Target.RestoresByItself() && d.finding(r) == f.Code
	if repairs && d.o.Target.RepairsByItself() && d.heldBy(f.Code) == "" {
		return nil
	}
	hint := f.Hint
	if r.config && i == r.about {
		hint += d.offer(r)
	}
	return fault.New(fault.FailedPrecondition, f.Code+": "+f.Text).WithHint(strings.TrimPrefix(hint, "; or "))
}

// known returns what status shows of the gateway now.
func (d *Doctors) known() known {
	k := known{
		state: d.o.Target.State(), conditions: d.o.Target.Conditions(), stable: d.o.Target.StableAfter(),
		gateway: d.o.Gateway,
	}
	now := d.present()
	d.mu.Lock()
	defer d.mu.Unlock()
	k.changed = d.incident != nil && !now.Same(d.fileThen)
	return k
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
	out := resultOf(who, plan.Title, done, err)
	d.conclude(ctx, out, lifecycle.Problem{
		Code: codeRepaired, Message: "the cause was repaired (" + out.Title + "); the gateway has not been started since",
	}, up)
	tell(result(out))
	return nil
}

// conclude adds to the result of a repair or an undo what follows for the gateway: it starts a gateway that was stopped
// for it, replaces an error that is no longer true, and names the next command.
func (d *Doctors) conclude(ctx context.Context, out *control.DoctorResult, revised lifecycle.Problem, wasUp bool) {
	if wasUp {
		failed := d.startAgain(ctx)
		if failed != nil && out.Error == nil {
			out.Error = failed
		}
		return
	}
	if out.Error != nil || len(out.Diff) == 0 {
		return
	}
	s := d.o.Target.State()
	out.Next = known{state: s, gateway: d.o.Gateway}.next()
	if s.Phase != lifecycle.PhaseError || out.Next == "" {
		return
	}
	revised.Hint = "run `" + out.Next + "`"
	if err := d.o.Target.Revise(ctx, s.PhaseSince, revised); err != nil {
		d.o.Log.Warn("cannot replace the error that the gateway shows", "error", err)
	}
}

// withoutPlan is the result of a repair for which there is no plan. With an error among the findings the repair has
// failed: what was found is still there.
func withoutPlan(r assessment) *control.DoctorResult {
	broken := slices.DeleteFunc(slices.Clone(r.Findings), func(f repair.Found) bool {
		return f.Finding.Severity < plugin.SeverityError
	})
	for _, found := range broken {
		i := slices.IndexFunc(r.Skipped, func(s repair.Skipped) bool { return s.Doctor == found.Doctor })
		if i >= 0 {
			return &control.DoctorResult{Outcome: "failed", Doctor: found.Doctor, Error: view.Failure(r.Skipped[i].Err)}
		}
	}
	if len(broken) > 0 {
		f := broken[0].Finding
		return &control.DoctorResult{Outcome: "failed", Error: &control.Failure{
			Code: string(fault.FailedPrecondition), Message: "no doctor has a plan for " + f.Code + "; nothing was changed",
			Hint: f.Hint,
		}}
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

// startAgain starts the gateway that stopFor stopped; nil when it runs.
func (d *Doctors) startAgain(ctx context.Context) *control.Failure {
	o, err := d.o.Target.Start(ctx)
	if err == nil && o.Problem == nil {
		return nil
	}
	d.o.Log.Error("gateway did not start after its configuration was changed", "error", view.OutcomeError(o, err))
	out := view.Problem(o.Problem)
	if err != nil {
		out = view.Failure(err)
	}
	out.Message = "the configuration was changed, and the gateway did not start: " + out.Message
	return out
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
	if err != nil {
		if up {
			d.startAgain(ctx)
		}
		return err
	}
	d.o.Log.Info("repair was undone", "repair", id, "backup", r.ID)
	out := &control.DoctorResult{Outcome: "undone", Doctor: control.HostDoctor, Title: title, Diff: r.Diff, Backup: r.ID}
	out.Detail = d.hold(executor, id)
	d.conclude(ctx, out, lifecycle.Problem{
		Code: codeUndone, Message: "the repair " + id + " was undone; the gateway has not been started since",
	}, up)
	if again := repairedSince(executor, r.ID); again != "" {
		out.Error = &control.Failure{
			Code:    string(fault.FailedPrecondition),
			Message: "the repair " + id + " was undone, and done again by itself when the gateway started: repair " + again,
			Hint: fmt.Sprintf("set gateways.%s.repair.mode = \"ask\", run `gatehost config reload`, then "+
				"`gatehost doctor %s --undo %s --stop`", d.o.Gateway, d.o.Gateway, again),
		}
	}
	d.o.Target.Publish(events.GatewayDoctorFinished, out)
	tell(result(out))
	return nil
}

// hold turns automatic repair off for the finding of a repair that a person undid, and says so; "" when the host would
// not repair it by itself anyway.
func (d *Doctors) hold(executor *repair.Executor, id string) string {
	records, err := executor.Records()
	i := slices.IndexFunc(records, func(r repair.Record) bool { return r.ID == id })
	if err != nil || i < 0 || records[i].Finding == "" || records[i].UndoOf != "" || !d.o.Target.RepairsByItself() {
		return ""
	}
	finding := records[i].Finding
	if err := d.held.add(finding, id); err != nil {
		d.o.Log.Error("cannot turn automatic repair off", "finding", finding, "error", err)
		return "the host may repair " + finding + " again by itself: it could not store that the repair was undone"
	}
	return fmt.Sprintf("the host does not repair %s by itself until a person starts, restarts or repairs the gateway; "+
		"to keep the file through that, set gateways.%s.repair.mode = \"ask\"", finding, d.o.Gateway)
}

// repairedSince returns the newest repair when it is newer than the undo with that id; "" otherwise.
func repairedSince(executor *repair.Executor, undo string) string {
	records, err := executor.Records()
	if err != nil || len(records) == 0 || records[0].ID == undo || records[0].UndoOf != "" ||
		records[0].Outcome != repair.OutcomeDone {
		return ""
	}
	return records[0].ID
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
