package launcher

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// heartbeatEvery is the contract's bound between two items of a followed output.
const heartbeatEvery = 15 * time.Second

// Fake is a Launcher in memory, for tests. The zero value works; the exported fields are knobs, to be set before the
// first call. It waits on channels and timers only, so it may be used inside a synctest bubble. Safe for concurrent
// use.
type Fake struct {
	StartErr    error         // of Launch
	StartBlocks chan struct{} // Launch waits until it is closed, or ctx is done
	ExitAfter   time.Duration // a launched process exits with ExitCode after this; 0: never
	ExitCode    int
	StopErr     error
	StopBlocks  chan struct{}
	Stubborn    bool // Stop has to kill
	InspectErr  error
	ListErr     error
	KeepLines   int // older lines become a Gap; 0 keeps all
	ExecFunc    func(ctx context.Context, req ExecRequest, sink func(plugin.Line) error) (ExecResult, error)

	mu        sync.Mutex // guards all below
	calls     []FakeCall
	instances map[string]*fakeInstance
	order     []string
	nextPID   int
}

// FakeCall is one call that a Fake got, in order.
type FakeCall struct {
	Method   string
	LaunchID string
}

type fakeInstance struct {
	Instance
	req     LaunchRequest
	lines   []plugin.Line
	dropped uint64 // cursor up to which lines are no longer kept
	changed chan struct{}
}

var _ Launcher = (*Fake)(nil)

// Emit writes lines to the standard error of a launch. Unknown launches are ignored.
func (f *Fake) Emit(launchID string, lines ...string) {
	f.change(launchID, func(i *fakeInstance) {
		for _, text := range lines {
			i.OutputEnd += uint64(len(text)) + 1
			i.lines = append(i.lines, plugin.Line{
				Cursor: i.OutputEnd, Time: time.Now(), Stream: plugin.Stderr,
				Text: text,
			})
		}
		if over := len(i.lines) - f.KeepLines; f.KeepLines > 0 && over > 0 {
			i.dropped = i.lines[over-1].Cursor
			i.lines = slices.Delete(i.lines, 0, over)
		}
	})
}

// Exit ends the process of a launch. A second exit is ignored.
func (f *Fake) Exit(launchID string, exit plugin.Exit) {
	f.change(launchID, func(i *fakeInstance) { i.end(exit) })
}

// Unwatch makes a launch look as if its shim had died.
func (f *Fake) Unwatch(launchID string) {
	f.change(launchID, func(i *fakeInstance) {
		if i.Live() {
			i.Phase, i.ShimPID, i.Detail = PhaseUnwatched, 0, "the shim is gone"
		}
	})
}

// Calls are the calls so far.
func (f *Fake) Calls() []FakeCall {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Requests are the requests that were launched, in order.
func (f *Fake) Requests() []LaunchRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []LaunchRequest
	for _, id := range f.order {
		out = append(out, f.instances[id].req)
	}
	return out
}

// Live is how many processes live now.
func (f *Fake) Live() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, i := range f.instances {
		if i.Live() {
			n++
		}
	}
	return n
}

func (i *fakeInstance) end(exit plugin.Exit) {
	if !i.Live() {
		return
	}
	if exit.At.IsZero() {
		exit.At = time.Now()
	}
	exit.Known = true
	i.Phase, i.Exit = PhaseEnded, &exit
}

func (f *Fake) change(launchID string, do func(*fakeInstance)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i, ok := f.instances[launchID]; ok {
		do(i)
		close(i.changed)
		i.changed = make(chan struct{})
	}
}

func (f *Fake) called(method, launchID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, FakeCall{method, launchID})
}

// copyOf returns a copy that a caller may keep.
func copyOf(i *fakeInstance) Instance {
	out := i.Instance
	out.Labels = maps.Clone(out.Labels)
	if out.Exit != nil {
		exit := *out.Exit
		out.Exit = &exit
	}
	return out
}

func (f *Fake) find(launchID string) (Instance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok := f.instances[launchID]
	if !ok {
		return Instance{}, fault.New(fault.NotFound, fmt.Sprintf("there is no launch %s", launchID))
	}
	return copyOf(i), nil
}

func waitFor(ctx context.Context, c chan struct{}) error {
	if c == nil {
		return ctx.Err()
	}
	select {
	case <-c:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Launch is part of Launcher.
func (f *Fake) Launch(ctx context.Context, req LaunchRequest) (Launched, error) {
	f.called("Launch", req.LaunchID)
	if err := waitFor(ctx, f.StartBlocks); err != nil {
		return Launched{}, err
	}
	if f.StartErr != nil {
		return Launched{}, f.StartErr
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if i, ok := f.instances[req.LaunchID]; ok {
		return Launched{Instance: copyOf(i), AlreadyLaunched: true}, nil
	}
	if f.instances == nil {
		f.instances = map[string]*fakeInstance{}
	}
	f.nextPID++
	i := &fakeInstance{req: req, changed: make(chan struct{}), Instance: Instance{
		LaunchID: req.LaunchID, Gateway: req.Gateway.Name, Phase: PhaseRunning, PID: 100_000 + f.nextPID,
		StartTime: fmt.Sprint(f.nextPID),
		BootID:    "fake-boot", StartedAt: time.Now(), Labels: maps.Clone(req.Labels), ShimPID: 200_000 + f.nextPID,
	}}
	f.instances[req.LaunchID], f.order = i, append(f.order, req.LaunchID)
	if f.ExitAfter > 0 {
		time.AfterFunc(f.ExitAfter, func() { f.Exit(req.LaunchID, plugin.Exit{Code: f.ExitCode}) })
	}
	return Launched{Instance: copyOf(i)}, nil
}

// List is part of Launcher.
func (f *Fake) List(_ context.Context, gateway string) (Listing, error) {
	f.called("List", "")
	if f.ListErr != nil {
		return Listing{}, f.ListErr
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var l Listing
	for _, id := range f.order {
		if i := f.instances[id]; gateway == "" || i.Gateway == gateway {
			l.Instances = append(l.Instances, copyOf(i))
		}
	}
	return l, nil
}

// Recover is part of Launcher.
func (f *Fake) Recover(_ context.Context, launchID string) (Instance, error) {
	f.called("Recover", launchID)
	return f.find(launchID)
}

// Inspect is part of Launcher.
func (f *Fake) Inspect(_ context.Context, launchID string) (Inspection, error) {
	f.called("Inspect", launchID)
	if f.InspectErr != nil {
		return Inspection{}, f.InspectErr
	}
	i, err := f.find(launchID)
	return Inspection{Instance: i}, err
}

// Output is part of Launcher.
func (f *Fake) Output(ctx context.Context, req OutputRequest, sink func(OutputItem) error) error {
	f.called("Output", req.LaunchID)
	cursor := req.Cursor
	for {
		items, more, err := f.next(req.LaunchID, cursor)
		if err != nil {
			return err
		}
		for _, item := range items {
			if err := sink(item); err != nil {
				return err
			}
			switch item := item.(type) {
			case *LineBatch:
				cursor = item.Lines[len(item.Lines)-1].Cursor
			case *Gap:
				cursor = item.To
			case *End:
				return nil
			case *Heartbeat:
			}
		}
		if !req.Follow {
			return nil
		}
		if err := f.await(ctx, more, cursor, sink); err != nil {
			return err
		}
	}
}

func (f *Fake) await(ctx context.Context, more <-chan struct{}, cursor uint64, sink func(OutputItem) error) error {
	timer := time.NewTimer(heartbeatEvery)
	defer timer.Stop()
	select {
	case <-more:
		return nil
	case <-timer.C:
		return sink(&Heartbeat{Cursor: cursor})
	case <-ctx.Done():
		return ctx.Err()
	}
}

// next returns what there is after cursor, and a channel that is closed when there may be more.
func (f *Fake) next(launchID string, cursor uint64) ([]OutputItem, <-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok := f.instances[launchID]
	if !ok {
		return nil, nil, fault.New(fault.NotFound, fmt.Sprintf("there is no launch %s", launchID))
	}
	var items []OutputItem
	if cursor < i.dropped {
		items = append(items, &Gap{From: cursor, To: i.dropped, Bytes: i.dropped - cursor})
		cursor = i.dropped
	}
	after := slices.IndexFunc(i.lines, func(l plugin.Line) bool { return l.Cursor > cursor })
	if after >= 0 {
		for chunk := range slices.Chunk(i.lines[after:], maxBatch) {
			items = append(items, &LineBatch{Lines: slices.Clone(chunk)})
		}
	}
	if !i.Live() {
		end := &End{EndCursor: i.OutputEnd}
		if i.Exit != nil {
			end.Exit = *i.Exit
		}
		items = append(items, end)
	}
	return items, i.changed, nil
}

// Signal is part of Launcher. SIGTERM and SIGKILL end the process.
func (f *Fake) Signal(_ context.Context, launchID, signal string) error {
	f.called("Signal "+signal, launchID)
	i, err := f.find(launchID)
	switch {
	case err != nil:
		return err
	case !i.Live():
		return fault.New(fault.FailedPrecondition, "the process has ended")
	case signal == "SIGKILL" || signal == "SIGTERM" && !f.Stubborn:
		f.Exit(launchID, plugin.Exit{Signal: signal})
	}
	return nil
}

// Stop is part of Launcher.
func (f *Fake) Stop(ctx context.Context, launchID string, _ time.Duration) (Stopped, error) {
	f.called("Stop", launchID)
	if err := waitFor(ctx, f.StopBlocks); err != nil {
		return Stopped{}, err
	}
	if f.StopErr != nil {
		return Stopped{}, f.StopErr
	}
	before, err := f.find(launchID)
	if err != nil {
		return Stopped{}, err
	}
	exit := plugin.Exit{}
	if f.Stubborn {
		exit.Signal = "SIGKILL"
	}
	f.Exit(launchID, exit)
	i, err := f.find(launchID)
	if err != nil {
		return Stopped{}, err
	}
	return Stopped{Exit: *i.Exit, Killed: f.Stubborn && before.Live()}, nil
}

// Release is part of Launcher.
func (f *Fake) Release(_ context.Context, launchID string) error {
	f.called("Release", launchID)
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok := f.instances[launchID]
	if !ok {
		return nil
	}
	if i.Live() {
		return fault.New(fault.FailedPrecondition, "cannot release a launch that still runs")
	}
	delete(f.instances, launchID)
	f.order = slices.DeleteFunc(f.order, func(id string) bool { return id == launchID })
	return nil
}

// Exec is part of Launcher; without ExecFunc it succeeds silently.
func (f *Fake) Exec(ctx context.Context, req ExecRequest, sink func(plugin.Line) error) (ExecResult, error) {
	f.called("Exec", "")
	if f.ExecFunc != nil {
		return f.ExecFunc(ctx, req, sink)
	}
	return ExecResult{Exit: plugin.Exit{Known: true, At: time.Now()}}, ctx.Err()
}
