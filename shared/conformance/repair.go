package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gatehost/gatehost/shared/fault"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
)

// job is a delegated step, to be done in its scratch gateway.
type job struct {
	proposal
	step *pb.DelegateStep
}

const mostJobs = 3

// jobs are the delegated steps of all plans, a few of them.
func (rn *runner) jobs(ctx context.Context) ([]job, error) {
	plans, err := rn.proposals(ctx)
	if err != nil {
		return nil, err
	}
	var out []job
	for _, p := range plans {
		for _, s := range p.plan.GetSteps() {
			if d := s.GetDelegate(); d != nil && len(out) < mostJobs && judgeTime(d.GetTimeout()) == nil {
				out = append(out, job{p, d})
			}
		}
	}
	if len(out) == 0 {
		return nil, skip("none of its %d plans has a delegated step", len(plans))
	}
	return out, nil
}

func (j job) name() string { return fmt.Sprintf("step %s for %s", j.step.GetId(), j.finding.GetCode()) }

func (j job) request(dry bool) *pb.RepairRequest {
	return &pb.RepairRequest{Gateway: j.run.gateway.facts, Finding: j.finding, StepId: j.step.GetId(), DryRun: dry}
}

// prepare makes the gateway as it was, and does what the plan's file steps before this one do.
func (j job) prepare() error {
	if err := j.run.gateway.reset(); err != nil {
		return err
	}
	for _, s := range j.plan.GetSteps() {
		if s.GetDelegate().GetId() == j.step.GetId() && s.GetDelegate() != nil {
			break
		}
		if w := s.GetWriteFile(); w != nil && j.run.gateway.inScope(w.GetPath()) {
			if err := makeDirs(filepath.Dir(w.GetPath())); err != nil {
				return err
			}
			if err := os.WriteFile(w.GetPath(), w.GetContent(), 0o600); err != nil {
				return err
			}
		}
	}
	var err error
	j.run.gateway.before, err = look(j.run.gateway.dir)
	return err
}

// strayed lists what has changed besides the files that the step names.
func (j job) strayed() ([]string, error) {
	changed, err := j.run.gateway.changed()
	return slices.DeleteFunc(changed, func(text string) bool {
		path, _, _ := strings.Cut(text, " ")
		abs := filepath.Join(j.run.gateway.dir, path)
		return slices.ContainsFunc(j.step.GetPaths(), func(named string) bool {
			named = filepath.Clean(named)
			// a directory that it had to make
			return abs == named || strings.HasPrefix(named, abs+string(filepath.Separator))
		})
	}), err
}

// contents returns the named files; nil for one that does not exist.
func (j job) contents() map[string][]byte {
	out := map[string][]byte{}
	for _, path := range j.step.GetPaths() {
		data, err := os.ReadFile(path)
		if err == nil && data == nil {
			data = []byte{}
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			out[path] = data
		}
	}
	return out
}

// repair makes one call and reads it to its end. It calls progress for each sign of life.
func repair(
	ctx context.Context, client pb.DoctorServiceClient, r *pb.RepairRequest, progress func(),
) (*pb.RepairResult, error) {
	stream, err := client.Repair(ctx, r)
	if err != nil {
		return nil, err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("it ends without a result")
		}
		if err != nil {
			return nil, err
		}
		switch item := m.GetItem().(type) {
		case *pb.RepairResponse_Progress:
			if progress != nil {
				progress()
			}
		case *pb.RepairResponse_Result:
			return item.Result, nil
		default:
			return nil, errors.New("it sends an empty message")
		}
	}
}

// do does the step to its end, within its own limit.
func (rn *runner) do(ctx context.Context, p Process, j job, dry bool, progress func()) (*pb.RepairResult, error) {
	bound, cancel := rn.within(ctx, j.step.GetTimeout().AsDuration())
	defer cancel()
	r, err := repair(bound, rn.doctor(p), j.request(dry), progress)
	if lost := rn.lost(p, "Doctor.Repair ("+j.name()+")", err); lost != nil {
		return nil, lost
	}
	if err != nil {
		return nil, breach("a step of your own plan is yours to do", "Repair of %s fails: %v", j.name(),
			fault.FromStatus(err))
	}
	return r, nil
}

// eachJob prepares and tries each delegated step.
func (rn *runner) eachJob(ctx context.Context, try func(p Process, j job) error) error {
	jobs, err := rn.jobs(ctx)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		p, err := rn.granted(ctx)
		if err != nil {
			return err
		}
		if err := j.prepare(); err != nil {
			return err
		}
		if err := try(p, j); err != nil {
			return err
		}
	}
	rn.noteDown("%d delegated steps", len(jobs))
	return nil
}

func repairDryRun(ctx context.Context, rn *runner) error {
	return rn.eachJob(ctx, func(p Process, j job) error {
		if _, err := rn.do(ctx, p, j, true, nil); err != nil {
			return err
		}
		changed, err := j.run.gateway.changed()
		if err == nil && len(changed) > 0 {
			err = breach("with dry_run say only what would be done", "a dry run of %s: %s", j.name(),
				strings.Join(changed, ", "))
		}
		return err
	})
}

func repairScope(ctx context.Context, rn *runner) error {
	return rn.eachJob(ctx, func(p Process, j job) error {
		if _, err := rn.do(ctx, p, j, false, nil); err != nil {
			return err
		}
		return j.judgeScope()
	})
}

// judgeScope looks for files that a step should not have changed: the host has no backup of them.
func (j job) judgeScope() error {
	strayed, err := j.strayed()
	if err == nil && len(strayed) > 0 {
		err = breach("name every file in DelegateStep.paths; temporary ones go when the step is done",
			"%s names %q, and afterwards: %s", j.name(), j.step.GetPaths(), strings.Join(strayed, ", "))
	}
	return err
}

func repairAgain(ctx context.Context, rn *runner) error {
	return rn.eachJob(ctx, func(p Process, j job) error {
		if _, err := rn.do(ctx, p, j, false, nil); err != nil {
			return err
		}
		after, err := look(j.run.gateway.dir)
		if err != nil {
			return err
		}
		r, err := rn.do(ctx, p, j, false, nil)
		if err != nil {
			return err
		}
		now, err := look(j.run.gateway.dir)
		if err != nil {
			return err
		}
		if changed := now.since(after); len(changed) > 0 || r.GetChanged() {
			return breach("look first; after a success answer changed = false",
				"done a second time %s answers changed = %v; files: %s", j.name(), r.GetChanged(),
				strings.Join(changed, ", "))
		}
		return nil
	})
}

// readable judges a named file that an interrupted step left. before and after are its content without and with the
// whole step; nil is no file.
func readable(path string, before, after, got []byte) error {
	name := filepath.Base(path)
	switch {
	case bytes.Equal(got, before) && (got == nil) == (before == nil), bytes.Equal(got, after) &&
		(got == nil) == (after == nil):
		return nil
	case got == nil && before != nil && after != nil:
		return fmt.Errorf("%s is gone", name)
	case len(got) == 0 && len(before) > 0 && len(after) > 0, len(got) == 0 && before == nil:
		return fmt.Errorf("%s is empty", name)
	case len(got) < len(after) && bytes.HasPrefix(after, got), len(got) < len(before) && bytes.HasPrefix(before, got):
		return fmt.Errorf("%s holds the first %d bytes of what it should", name, len(got))
	case json.Valid(after) && !json.Valid(got):
		return fmt.Errorf("%s is not valid JSON any more", name)
	default:
		return nil
	}
}

const writeHint = "write a file beside it, fsync, and rename it over the old one"

// readable judges all files of a step.
func (j job) readable(before, after map[string][]byte) error {
	for path, got := range j.contents() {
		if err := readable(path, before[path], after[path], got); err != nil {
			return err
		}
	}
	return nil
}

// whole does the step once without an interruption, and reads its files all the time: a kill can leave whatever a
// reader sees. It returns them as they are before and after, and how long it took.
func (rn *runner) whole(
	ctx context.Context, p Process, j job,
) (before, after map[string][]byte, took time.Duration, seen []map[string][]byte, err error) {
	before = j.contents()
	stop, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		last := before
		for {
			select {
			case <-stop:
				return
			default:
			}
			if now := j.contents(); !equal(now, last) && len(seen) < 1000 {
				seen, last = append(seen, now), now
			}
			time.Sleep(200 * time.Microsecond) // it shares the processor with what it watches
		}
	}()
	began := time.Now()
	_, err = rn.do(ctx, p, j, false, nil)
	took = time.Since(began)
	close(stop)
	<-watched
	return before, j.contents(), took, seen, err
}

func equal(a, b map[string][]byte) bool {
	for path, data := range a {
		if other, ok := b[path]; !ok || !bytes.Equal(data, other) || (data == nil) != (other == nil) {
			return false
		}
	}
	return len(a) == len(b)
}

// moments are when a step is interrupted: at its first sign of life, when a file of it first changes, and half-way by
// the clock.
func moments() []string {
	return []string{"at its first sign of life", "when a file of it first changes", "half-way"}
}

// interrupted does the step and calls end at the moment; it returns when the call has ended.
func (rn *runner) interrupted(ctx context.Context, p Process, j job, moment string, took time.Duration, end func()) {
	bound, cancel := rn.within(ctx, j.step.GetTimeout().AsDuration())
	defer cancel()
	over := make(chan struct{})
	alive := make(chan struct{}, 1)
	go func() {
		defer close(over)
		_, _ = repair(bound, rn.doctor(p), j.request(false), func() { poke(alive) })
	}()
	defer func() { <-over }()
	half := time.NewTimer(took / 2)
	defer half.Stop()
	before := j.contents()
	for {
		switch moment {
		case moments()[0]:
			select {
			case <-alive:
			case <-over:
			}
		case moments()[1]:
			select {
			case <-over:
			default:
				if equal(j.contents(), before) {
					time.Sleep(100 * time.Microsecond) // between two looks
					continue
				}
			}
		default:
			select {
			case <-half.C:
			case <-over:
			}
		}
		end()
		return
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// settled is how long a cancelled step may take to stop, and how long it is watched then.
const settled = time.Second

func repairCancelled(ctx context.Context, rn *runner) error {
	return rn.eachJob(ctx, func(p Process, j job) error {
		before, after, took, _, err := rn.whole(ctx, p, j)
		if err != nil {
			return err
		}
		for _, moment := range moments() {
			if err := j.prepare(); err != nil {
				return err
			}
			cancelled, cancel := context.WithCancel(ctx)
			rn.interrupted(cancelled, p, j, moment, took, cancel)
			cancel()
			if equal(j.contents(), after) {
				continue // it had done its work
			}
			if err := pause(ctx, settled); err != nil {
				return err
			}
			if err := j.readable(before, after); err != nil {
				return breach(writeHint, "%s, cancelled %s: %v", j.name(), moment, err)
			}
			stopped, err := look(j.run.gateway.dir)
			if err != nil {
				return err
			}
			if err := pause(ctx, settled); err != nil {
				return err
			}
			later, err := look(j.run.gateway.dir)
			if err != nil {
				return err
			}
			if changed := later.since(stopped); len(changed) > 0 {
				return breach("look at the context while you work", "%s, cancelled %s, goes on: %v after that %s",
					j.name(), moment, settled, strings.Join(changed, ", "))
			}
		}
		return nil
	})
}

func repairKilled(ctx context.Context, rn *runner) error {
	return rn.eachJob(ctx, func(p Process, j job) error {
		before, after, took, seen, err := rn.whole(ctx, p, j)
		if err != nil {
			return err
		}
		for _, files := range seen {
			for path, got := range files {
				if err := readable(path, before[path], after[path], got); err != nil {
					return breach(writeHint, "while %s is under way a kill -9 can leave this: %v", j.name(), err)
				}
			}
		}
		for _, moment := range moments() {
			if err := rn.kill(ctx, j, moment, took, before, after); err != nil {
				return err
			}
		}
		return nil
	})
}

// kill ends a process of its own in the middle of a step.
func (rn *runner) kill(
	ctx context.Context, j job, moment string, took time.Duration, before, after map[string][]byte,
) error {
	if err := j.prepare(); err != nil {
		return err
	}
	p, err := rn.own(ctx, rn.scratchDir())
	if err != nil {
		return err
	}
	defer p.Close()
	rn.interrupted(ctx, p, j, moment, took, p.Kill)
	select {
	case <-p.Done(): // now nothing writes any more
	case <-time.After(slack):
	}
	if err := j.readable(before, after); err != nil {
		return breach(writeHint, "%s, killed %s: %v", j.name(), moment, err)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
