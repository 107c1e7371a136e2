package shim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gatehost/gatehost/shared/shim/outlog"
	"github.com/gatehost/gatehost/shared/shim/process"
)

// Status is the state of a bundle: what its files say, checked against the processes that live.
type Status string

// The statuses.
const (
	StatusNew      Status = "new"      // no shim ever wrote to it
	StatusStarting Status = "starting" // a shim is at work, the gateway does not run yet
	StatusRunning  Status = "running"  // under its shim
	// the gateway, or what it left behind when it ended, lives, but its shim does not
	StatusUnwatched Status = "unwatched"
	StatusEnded     Status = "ended"  // Exit is nil when it is not known how
	StatusFailed    Status = "failed" // the gateway's program never ran
	StatusBroken    Status = "broken" // Problem says why; no other field is set
	// it lives, or may live, in another pid namespace or on another machine: see Elsewhere
	StatusElsewhere Status = "elsewhere"
)

// Bundle is one launch according to its files and the process table. It is a snapshot and safe to copy.
type Bundle struct {
	Dir       string
	LaunchID  string
	Status    Status
	Detail    string // for people: why it is unwatched, failed, or ended unseen
	Spec      *SavedSpec
	State     *State // nil in StatusNew
	Exit      *Exit
	ShimAlive bool
	Problem   error // in StatusBroken; errors.Is ErrBroken

	claimed bool // see Claim
}

// OpenBundle reads a bundle without asking its shim. Errors: ErrNoBundle, ErrBroken (with what is wrong).
func OpenBundle(dir string) (Bundle, error) {
	b := Bundle{Dir: dir, LaunchID: filepath.Base(dir)}
	if err := b.read(); err != nil {
		if errors.Is(err, ErrNoBundle) {
			return b, err
		}
		b = Bundle{Dir: dir, LaunchID: b.LaunchID, Status: StatusBroken}
		b.Problem = fmt.Errorf("cannot read launch bundle %s: %w: %w", dir, ErrBroken, err)
		return b, b.Problem
	}
	return b, nil
}

// List reads all bundles of a run directory, in order of their launch id. A bundle that cannot be read is in the list
// as StatusBroken. A run directory that does not exist has none.
func List(runDir string) ([]Bundle, error) {
	entries, err := os.ReadDir(runDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list launches: %w", err)
	}
	var all []Bundle
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		b, err := OpenBundle(filepath.Join(runDir, e.Name()))
		if errors.Is(err, ErrNoBundle) {
			continue // removed meanwhile
		}
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b Bundle) int { return strings.Compare(a.LaunchID, b.LaunchID) })
	return all, nil
}

func (b *Bundle) read() error {
	fi, err := os.Lstat(b.Dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%w: %s", ErrNoBundle, b.LaunchID)
	case err != nil:
		return err
	case !fi.IsDir():
		return errors.New("it is not a directory")
	}
	if err := checkLaunchID(b.LaunchID); err != nil {
		return err
	}
	if spec, err := readSpec(b.Dir); err == nil {
		b.Spec = &spec
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var state State
	switch err := readJSON(filepath.Join(b.Dir, stateFile), &state); {
	case errors.Is(err, os.ErrNotExist):
		b.Status = StatusNew
		return nil
	case err != nil:
		return err
	}
	if err := state.check(b.LaunchID); err != nil {
		return err
	}
	b.State = &state
	return b.judge()
}

func (s State) check(launchID string) error {
	switch {
	case s.Version < 1:
		return errors.New("state.json has no version")
	case s.LaunchID != launchID:
		return fmt.Errorf("state.json is of launch %.80q", s.LaunchID)
	case s.Shim.PID <= 0 || s.Shim.StartTime == "" || s.BootID == "":
		return errors.New("state.json does not name its shim")
	case s.Gateway.PID < 0 || (s.Gateway.PID > 0 && s.Gateway.StartTime == ""):
		return errors.New("state.json does not name its gateway")
	}
	return nil
}

// judge looks at the processes first and then at the exit record, so that an end in between is not missed.
func (b *Bundle) judge() error {
	where, err := b.State.where(b.Dir)
	if err != nil {
		return err
	}
	b.ShimAlive = where.here && b.State.Shim.Alive()
	gateway := where.here && b.State.Gateway.Alive()
	if b.Exit, err = readExit(b.Dir); err != nil && !b.ShimAlive { // a living shim tells its exit itself
		return err
	}
	switch {
	case b.State.Phase == PhaseFailed:
		b.Status, b.Detail = StatusFailed, "launch failed"
		if b.State.Failure != nil {
			b.Detail = b.State.Failure.Message
		}
	case b.State.Cleared && b.Exit != nil && !where.here:
		b.Status = StatusEnded
	case where.elsewhere != "":
		b.Status, b.Detail = StatusElsewhere, where.elsewhere
	case b.Exit != nil && b.ShimAlive:
		b.Status = StatusEnded // it ends what is left
	case b.ShimAlive && b.State.Phase == PhaseStarting:
		b.Status = StatusStarting
	case b.ShimAlive:
		b.Status = StatusRunning
	case gateway:
		b.Status, b.Detail = StatusUnwatched, fmt.Sprintf("its shim (pid %d) is gone", b.State.Shim.PID)
	case b.State.Gateway.PID == 0:
		b.Status, b.Detail = StatusFailed, "its shim ended before there was a gateway"
	case where.here && !b.State.Cleared && b.leftBehind():
		b.Status = StatusUnwatched
	case b.Exit != nil:
		b.Status = StatusEnded
	default:
		b.Status, b.Detail = StatusEnded, "ended unseen: "+where.ended
	}
	return nil
}

// leftBehind looks for processes that a gateway left alive when it ended and that its shim could not end, because it
// died first.
func (b *Bundle) leftBehind() bool {
	left, err := process.Find(b.State.Tree())
	if err != nil || len(left) == 0 {
		return false
	}
	b.Detail = fmt.Sprintf(
		"the gateway has ended, but its shim (pid %d) is gone and %d of its processes live, the first is %v",
		b.State.Shim.PID, len(left), left[0])
	return true
}

// Live reports whether the gateway, or what it left behind, or a shim that is about to start it, is believed to exist.
func (b Bundle) Live() bool {
	return b.Status == StatusStarting || b.Status == StatusRunning || b.Status == StatusUnwatched
}

// Output reads what is kept on disk from a logical offset, without the shim, and ends with End. It fails with what sink
// fails with. Do not use it while the shim lives: a segment may be overwritten while it is read.
func (b Bundle) Output(ctx context.Context, from uint64, sink func(Item) error) error {
	end := End{Exit: b.Exit, Running: b.Live()}
	log, err := outlog.Open(b.Dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return sink(end)
	case err != nil:
		return err
	}
	defer log.Close()
	for cursor := log.Read(from); ctx.Err() == nil; {
		batch, err := cursor.Next()
		if errors.Is(err, io.EOF) {
			end.EndOffset = log.End()
			end.Truncated = b.Exit == nil || b.Exit.Truncated || !b.Exit.Final
			return sink(end)
		}
		if err != nil {
			return err
		}
		if err := deliver(batch, sink); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

func deliver(batch outlog.Batch, sink func(Item) error) error {
	if batch.Gap != nil {
		if err := sink(Gap{*batch.Gap}); err != nil {
			return err
		}
	}
	for _, r := range batch.Records {
		if err := sink(Record{r}); err != nil {
			return err
		}
	}
	return nil
}

// Usage returns the resources that the gateway's processes use now.
func (b Bundle) Usage() (process.Usage, error) {
	if b.State == nil || !b.Live() {
		return process.Usage{}, nil
	}
	return process.Measure(b.State.Tree())
}

// Signal sends a signal to a gateway whose shim is gone, and to its own process only. Errors: ErrEnded, ErrBadSignal.
func (b Bundle) Signal(name string) error {
	sig, err := process.ParseSignal(name)
	if err != nil {
		return Failf(CodeBadSignal, "%v", err)
	}
	if err := b.Elsewhere(); err != nil {
		return err
	}
	err = process.ErrGone
	if b.Live() {
		err = b.State.Gateway.Signal(sig)
	}
	if errors.Is(err, process.ErrGone) {
		return fmt.Errorf("cannot signal launch %s: %w", b.LaunchID, ErrEnded)
	}
	return err
}

// StopUnwatched ends a launch whose shim is gone: SIGTERM to the gateway's process group, up to grace of waiting, then
// the whole tree is killed. The tree is found by descent, by EnvMark, by its control group, and by listening sockets
// that it shares.
// It also sweeps after an end that was not seen; it is idempotent. How the gateway ended is not known then. Errors:
// ErrRunning while the shim lives, ErrElsewhere,
// ErrSurvived.
func (b Bundle) StopUnwatched(ctx context.Context, grace time.Duration) (Stopped, error) {
	if b.State == nil {
		return Stopped{}, nil
	}
	if b.ShimAlive && b.State.Shim.Alive() {
		return Stopped{}, fmt.Errorf("cannot stop without shim: %w: shim is pid %d", ErrRunning, b.State.Shim.PID)
	}
	return b.stopTree(ctx, grace)
}

// StopUnreachable is StopUnwatched for a launch whose shim lives and cannot be reached: its socket was removed, or it
// was stopped. The gateway is known by its pid, its start time and the boot. Then it ends the shim, which has nothing
// left to supervise. It returns the exit if the shim could still record it. Errors: ErrSurvived.
func (b Bundle) StopUnreachable(ctx context.Context, grace time.Duration) (Stopped, *Exit, error) {
	if b.State == nil {
		return Stopped{}, nil, nil
	}
	stopped, err := b.stopTree(ctx, grace)
	if err != nil {
		return stopped, nil, err
	}
	if err := b.EndShim(ctx); err != nil {
		return stopped, nil, fmt.Errorf("%w: %w", ErrSurvived, err)
	}
	after, err := OpenBundle(b.Dir)
	if err != nil {
		return stopped, nil, nil //nolint:nilerr // it has ended, and how is not known
	}
	return stopped, after.Exit, nil
}

// shimEnds is how long a shim has to end, after SIGTERM and after SIGKILL.
const shimEnds = 3 * time.Second

// EndShim ends the shim of a launch whose gateway has ended, and that does not answer any more.
func (b Bundle) EndShim(ctx context.Context) error {
	if b.State == nil {
		return nil
	}
	if err := b.Elsewhere(); err != nil {
		return err
	}
	if where, err := b.State.where(b.Dir); err != nil || !where.here {
		return err // its pid means nothing here
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := b.State.Shim.Signal(sig); errors.Is(err, process.ErrGone) {
			return nil
		}
		bounded, cancel := context.WithTimeout(ctx, shimEnds)
		err := b.State.Shim.WaitGone(bounded)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return fmt.Errorf("cannot end the shim: %v survived SIGKILL", b.State.Shim)
}

// stopTree ends the gateway's whole tree.
func (b Bundle) stopTree(ctx context.Context, grace time.Duration) (Stopped, error) {
	if err := b.Elsewhere(); err != nil {
		return Stopped{}, err
	}
	if where, err := b.State.where(b.Dir); err != nil || !where.here {
		return Stopped{}, err // nothing of it lives
	}
	var stopped Stopped
	gateway, q := b.State.Gateway, b.State.Tree()
	q.Sockets = &process.Sockets{}
	if _, err := process.Find(q); err != nil { // notes the sockets while the gateway holds them
		return Stopped{}, err
	}
	told, deadline := process.Told{}, time.Now().Add(grace)
	if grace > 0 && process.Terminate(gateway, told) == nil {
		wait, cancel := context.WithDeadline(ctx, deadline)
		err := gateway.WaitGone(wait)
		cancel()
		if ctx.Err() != nil {
			return Stopped{}, context.Cause(ctx)
		}
		stopped.Killed = err != nil
	}
	sweep := sweepGrace
	if gateway.Alive() {
		stopped.Killed, sweep = true, 0
	} else if anyAlive(told) { // its own process was a wrapper: the rest has what is left of the grace
		sweep = max(sweep, time.Until(deadline))
	}
	swept, err := process.EndTold(ctx, q, sweep, told)
	if stopped.Killed {
		swept--
	}
	stopped.Swept = max(swept, 0)
	if err != nil {
		return stopped, fmt.Errorf("%w: %w", ErrSurvived, err)
	}
	_ = b.State.removeGroup() // Remove tries again
	return stopped, nil
}

func anyAlive(told process.Told) bool {
	for id := range told {
		if id.Alive() {
			return true
		}
	}
	return false
}

// sweepGrace is how long what a gateway left behind has between SIGTERM and SIGKILL.
const sweepGrace = 2 * time.Second

// Remove deletes a launch that is over: its files and its socket. Errors: ErrRunning; ErrElsewhere; ErrBroken, because
// a bundle that cannot be read may still live. A bundle that is gone is no error.
func Remove(dir string) error {
	b, err := OpenBundle(dir)
	if errors.Is(err, ErrNoBundle) {
		return nil
	}
	if err != nil {
		return err
	}
	return b.remove()
}

// Remove deletes the launch as the function Remove does. A claimed one is not asked for where it lives.
func (b Bundle) Remove() error {
	if !b.claimed {
		return Remove(b.Dir)
	}
	return b.remove()
}

func (b Bundle) remove() error {
	if err := b.Elsewhere(); err != nil {
		return err
	}
	if b.Live() || b.ShimAlive || b.Status == StatusNew && lockOf(b.Dir, lockFile) == lockHeld {
		return fmt.Errorf("cannot remove launch %s: %w", b.LaunchID, ErrRunning)
	}
	if b.State != nil && filepath.IsAbs(b.State.Socket) && strings.HasSuffix(b.State.Socket, socketSuffix) {
		os.Remove(b.State.Socket)
	}
	if b.State != nil {
		if err := b.State.removeGroup(); err != nil {
			return fmt.Errorf("cannot remove launch %s: %w", b.LaunchID, err)
		}
	}
	if err := os.RemoveAll(b.Dir); err != nil {
		return fmt.Errorf("cannot remove launch %s: %w", b.LaunchID, err)
	}
	return nil
}
