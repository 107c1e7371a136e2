package repair

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehost/gatehost/internal/atomicfile"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// defaultKeep is how many records of a gateway are kept.
const defaultKeep = 20

// Delegate lets the doctor execute one of its own steps (doctor.Doctor.Repair).
type Delegate func(ctx context.Context, stepID string, progress func(doctor.Progress)) (doctor.RepairResult, error)

// Options of an Executor.
type Options struct {
	Dir     string // <state>/repairs; created when first needed
	Gateway plugin.GatewayFacts
	Exec    Exec
	Redact  func(string) string // hides known secrets; nil: none are known
	Report  func(Command)       // is told of each command of a plan, also when it is refused; may be nil
	Keep    int                 // records; 0: 20
	Now     func() time.Time    // nil: time.Now
}

// Executor executes the plans for one gateway, one at a time. Safe for concurrent use.
type Executor struct {
	o       Options // except Gateway and Redact, which target has
	target  atomic.Pointer[target]
	records recordStore
	busy    sync.Mutex // held while files may change
}

// target is the gateway that a repair is about.
type target struct {
	scope  scope
	redact func(string) string
}

func (e *Executor) scope() scope { return e.target.Load().scope }

func (e *Executor) redact(text string) string { return e.target.Load().redact(text) }

// Retarget applies the gateway's present configuration to what begins from now on: its command, its places, its
// secrets. redact may be nil, as in Options.
func (e *Executor) Retarget(gw plugin.GatewayFacts, redact func(string) string) {
	if redact == nil {
		redact = func(s string) string { return s }
	}
	e.target.Store(&target{scope: scopeOf(gw), redact: redact})
}

// Request is a plan with what belongs to its execution.
type Request struct {
	Plan     doctor.Plan
	Doctor   Named    // the doctor of the plan; its name is for the record
	Finding  string   // the code of the finding that it repairs, for the record
	Delegate Delegate // executes the doctor's own steps; may be nil
	// Verify checks whether the steps have repaired the finding. Its error makes the repair a failed one: files are
	// rolled back. nil: the start of the gateway will show it.
	Verify func(context.Context) error
	// Automatic: no operator has asked for this plan. It may name no other file than the configuration then, unless the
	// doctor has the grant.
	Automatic bool
	// KeepAside keeps a copy of each file that the plan names next to it, as NAME.broken-ID, before anything is
	// written.
	KeepAside bool
	Progress  func(Progress) // may be nil
}

// Progress is a sign of life of a repair. Its text is redacted.
type Progress struct {
	Step    int // from 1
	Steps   int
	Title   string
	Text    string // a line of output, or what the doctor says; "" when a step begins
	Percent *int
}

// Result says what a repair did. It is filled as far as the repair came, also with an error.
type Result struct {
	ID         string // for Undo; "" when nothing was begun
	Doctor     string // the doctor of the plan, as in the Request
	Title      string // of that plan
	Changed    []string
	Aside      []string // copies of the broken files
	Diff       string   // secrets masked, bounded
	RolledBack bool
}

var gatewayName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$`)

// ValidGateway reports whether a gateway's name can be the name of a directory.
func ValidGateway(name string) bool { return gatewayName.MatchString(name) }

// New makes an executor; it touches nothing yet.
func New(o Options) (*Executor, error) {
	switch {
	case !filepath.IsAbs(o.Dir):
		return nil, fmt.Errorf("cannot repair: directory %q is not absolute", o.Dir)
	case !ValidGateway(o.Gateway.Name):
		return nil, fmt.Errorf("cannot repair: bad gateway name %q", o.Gateway.Name)
	}
	if o.Keep <= 0 {
		o.Keep = defaultKeep
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &Executor{o: o, records: recordStore{dir: filepath.Join(o.Dir, o.Gateway.Name), keep: o.Keep}}
	e.Retarget(o.Gateway, o.Redact)
	return e, nil
}

// Check reports why a plan of a doctor may not be executed. Errors: fault.InvalidArgument, fault.NotFound.
func (e *Executor) Check(who Named, plan doctor.Plan) error {
	_, err := e.check(who, plan)
	return err
}

// CheckAutomatic reports, in addition, why a plan may not be executed without a request of the operator. Error:
// fault.FailedPrecondition.
func (e *Executor) CheckAutomatic(who Named, plan doctor.Plan) error {
	c, err := e.check(who, plan)
	if err != nil {
		return err
	}
	return e.scope().automatic(who, c)
}

// check checks a plan and reports the command for which it is refused.
func (e *Executor) check(who Named, plan doctor.Plan) (checked, error) {
	c, err := e.scope().check(who, plan)
	if r, ok := errors.AsType[commandRefused](err); ok {
		e.runner(who).refused(KindStep, r.argv, r.err)
		err = r.err
	}
	return c, err
}

func (e *Executor) runner(who Named) runner {
	return runner{doctor: who.Name, exec: e.o.Exec, report: e.o.Report, now: e.o.Now}
}

// Preview returns the difference that the plan's own writes would make; what commands will do is unknown. It
// changes nothing.
func (e *Executor) Preview(who Named, plan doctor.Plan) (string, error) {
	c, err := e.check(who, plan)
	if err != nil {
		return "", err
	}
	var changes []change
	for _, step := range plan.Steps {
		if step.WriteFile == nil {
			continue
		}
		path := c.paths[step.WriteFile.Path]
		before, err := read(path)
		if err != nil {
			return "", err
		}
		changes = append(changes,
			change{path: path, before: before, after: snapshot{exists: true, data: step.WriteFile.Content}})
	}
	return e.diff(changes), nil
}

// Execute executes a plan: it checks everything, backs up everything, then executes and verifies the steps. When
// one fails or ctx ends, it rolls every file back, so a file is readable at each moment. When the launcher plugin
// dies in the middle (fault.PluginGone) it is unknown whether the command still runs: nothing is rolled back, and
// the caller diagnoses again. Errors: fault.Conflict (another repair runs), fault.InvalidArgument,
// fault.FailedPrecondition (a file is not what the plan expects, or a command failed), fault.DeadlineExceeded, and
// those of Exec and of delegate.
func (e *Executor) Execute(ctx context.Context, o Request) (Result, error) {
	if !e.busy.TryLock() {
		return Result{}, fault.New(fault.Conflict, "cannot repair: another repair of this gateway is running")
	}
	defer e.busy.Unlock()
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	c, err := e.check(o.Doctor, o.Plan)
	if err == nil && o.Automatic {
		err = e.scope().automatic(o.Doctor, c)
	}
	if err != nil {
		return Result{}, err
	}
	if err := expected(c); err != nil {
		return Result{}, err
	}
	rec, before, err := e.records.begin(Record{
		Gateway: e.o.Gateway.Name, Title: bounded(o.Plan.Title, 200), Doctor: o.Doctor.Name, Finding: o.Finding,
		Time: e.o.Now(),
	}, c.files)
	if err != nil {
		return Result{}, err
	}
	if o.KeepAside {
		rec, err = e.keepAside(rec, before)
	}
	if err == nil {
		r := run{e: e, plan: c, delegate: o.Delegate, progress: o.Progress}
		err = r.steps(ctx)
	}
	if err == nil && o.Verify != nil {
		err = o.Verify(ctx)
	}
	return e.conclude(ctx, rec, before, err)
}

// keepAside copies the present files next to themselves, for their owner to find. They are in the record before
// they are on disk.
func (e *Executor) keepAside(rec Record, before map[string]snapshot) (Record, error) {
	for _, f := range rec.Files {
		if f.Existed {
			rec.Aside = append(rec.Aside, f.Path+asideMark+rec.ID)
		}
	}
	if err := e.records.save(rec); err != nil {
		return rec, fmt.Errorf("cannot keep the broken file: %w", err)
	}
	for _, f := range rec.Files {
		if !f.Existed {
			continue
		}
		if err := atomicfile.WriteAs(f.Path+asideMark+rec.ID, before[f.Path].data, 0o600,
			before[f.Path].owner); err != nil {
			return rec, err
		}
		pruneAside(f.Path)
	}
	return rec, nil
}

// conclude rolls files back after a failure, records the outcome and computes the difference.
func (e *Executor) conclude(ctx context.Context, rec Record, before map[string]snapshot,
	failure error,
) (Result, error) {
	res := Result{ID: rec.ID, Doctor: rec.Doctor, Title: rec.Title, Aside: rec.Aside}
	outcome := OutcomeDone
	switch {
	case failure == nil:
	case errors.Is(failure, fault.ErrPluginGone):
		outcome = OutcomeUnknown
	case ctx.Err() != nil:
		outcome = OutcomeCancelled
	default:
		outcome = OutcomeFailed
	}
	var changes []change
	for _, f := range rec.Files {
		after, err := read(f.Path)
		if err == nil && same(before[f.Path], after) {
			continue
		}
		if outcome == OutcomeFailed || outcome == OutcomeCancelled {
			res.RolledBack = true
			if err := before[f.Path].restore(f.Path); err != nil {
				failure = errors.Join(failure, err)
			}
			continue
		}
		res.Changed = append(res.Changed, f.Path)
		changes = append(changes, change{path: f.Path, before: before[f.Path], after: after})
	}
	res.Diff = e.diff(changes)
	if outcome == OutcomeFailed || outcome == OutcomeCancelled { // the copy is in its place again
		for _, path := range rec.Aside {
			_ = os.Remove(path)
		}
		rec.Aside, res.Aside = nil, nil
	}
	if _, err := e.records.finish(rec, outcome); err != nil {
		failure = errors.Join(failure, fmt.Errorf("cannot record the outcome of the repair: %w", err))
	}
	return res, failure
}

func same(a, b snapshot) bool {
	return a.exists == b.exists && a.mode == b.mode && a.owner == b.owner && string(a.data) == string(b.data)
}

// expected compares files with what the plan's writes expect, before anything is done. A file that an earlier step
// may change is compared again before its own step.
func expected(c checked) error {
	seen := map[string]bool{}
	for _, step := range c.plan.Steps {
		if step.WriteFile == nil {
			if step.Exec != nil || step.Delegate != nil {
				return nil // from here on anything may have changed
			}
			continue
		}
		path := c.paths[step.WriteFile.Path]
		if seen[path] {
			continue
		}
		seen[path] = true
		if err := expect(path, step.WriteFile.ExpectedSHA256); err != nil {
			return err
		}
	}
	return nil
}

func expect(path, sum string) error {
	now, err := read(path)
	if err != nil {
		return err
	}
	if now.sum() != sum {
		return fault.New(fault.FailedPrecondition,
			fmt.Sprintf("cannot write %s: it is not the file that the doctor examined", path)).
			WithHint("another program changed the file; diagnose again")
	}
	return nil
}

// run is one execution.
type run struct {
	e        *Executor
	plan     checked
	delegate Delegate
	progress func(Progress)
}

func (r run) steps(ctx context.Context) error {
	for i, step := range r.plan.plan.Steps {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p := Progress{Step: i + 1, Steps: len(r.plan.plan.Steps), Title: r.e.redact(bounded(step.Title, 200))}
		r.progress(p)
		if err := r.step(ctx, step, p); err != nil {
			return fmt.Errorf("step %d of %d (%s): %w", p.Step, p.Steps, p.Title, err)
		}
	}
	return nil
}

func (r run) step(ctx context.Context, step doctor.Step, p Progress) error {
	switch {
	case step.Exec != nil:
		return r.exec(ctx, step.Exec, p)
	case step.WriteFile != nil:
		return r.write(step.WriteFile)
	default:
		return r.delegated(ctx, step.Delegate, p)
	}
}

func (r run) exec(ctx context.Context, step *doctor.ExecStep, p Progress) error {
	secrets, err := r.e.scope().step(r.plan.who, step.Argv)
	if err != nil { // the gateway's command has changed meanwhile
		r.e.runner(r.plan.who).refused(KindStep, step.Argv, err)
		return err
	}
	job := Job{Argv: step.Argv, Timeout: step.Timeout, Kind: KindStep, Secrets: secrets}
	got, err := r.e.runner(r.plan.who).run(ctx, job, func(l plugin.Line) {
		p.Text = r.e.redact(bounded(l.Text, 8<<10))
		r.progress(p)
	})
	codes := step.SuccessCodes
	if len(codes) == 0 {
		codes = []int{0}
	}
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case got.TimedOut:
		return fault.New(fault.DeadlineExceeded,
			fmt.Sprintf("the command did not end within %v and was ended", step.Timeout))
	case !got.Exit.Known || got.Exit.Signal != "" || !slices.Contains(codes, got.Exit.Code):
		return fault.New(fault.FailedPrecondition, "the command failed: "+got.Exit.String())
	}
	return nil
}

func (r run) write(step *doctor.WriteFileStep) error {
	path := r.plan.paths[step.Path]
	if err := expect(path, step.ExpectedSHA256); err != nil {
		return err
	}
	now, err := read(path)
	if err != nil {
		return err
	}
	if !now.exists {
		now.mode, now.owner = 0o600, atomicfile.OwnerOfDir(filepath.Dir(path))
	}
	return atomicfile.UpdateAs(path, step.Content, now.mode, now.owner)
}

func (r run) delegated(ctx context.Context, step *doctor.DelegateStep, p Progress) error {
	if r.delegate == nil {
		return fault.New(fault.Unsupported, "the doctor cannot execute this step")
	}
	ctx, cancel := context.WithTimeout(ctx, step.Timeout)
	defer cancel()
	got, err := r.delegate(ctx, step.ID, func(d doctor.Progress) {
		p.Text, p.Percent = r.e.redact(bounded(d.Text, 8<<10)), d.Percent
		r.progress(p)
	})
	if err == nil && got.Summary != "" {
		p.Text, p.Percent = r.e.redact(bounded(got.Summary, 8<<10)), nil
		r.progress(p)
	}
	return err
}
