package launcher_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"pgregory.net/rapid"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/internal/wiretest"
	"github.com/gatehost/gatehost/shared/launcher"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

var rules = wiretest.Rules{
	"launcher.LaunchRequest.LaunchID": id, "launcher.Instance.LaunchID": id,
	"plugin.GatewayFacts.Port": func(t *rapid.T) any { return rapid.IntRange(1, 65535).Draw(t, "port") },
	"plugin.EnvVar.Name":       func(t *rapid.T) any { return rapid.StringMatching(`[A-Z_]{1,10}`).Draw(t, "name") },
	"launcher.Phase":           func(t *rapid.T) any { return rapid.IntRange(1, 5).Draw(t, "phase") },
	"plugin.Stream":            func(t *rapid.T) any { return rapid.IntRange(1, 2).Draw(t, "stream") },
	"plugin.Line.Cursor":       func(*rapid.T) any { return uint64(0) }, // numbered by the test
}

func id(t *rapid.T) any {
	return rapid.StringMatching(`[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}`).Draw(t, "launch id")
}

// echo answers what the test drew and keeps what it was asked.
type echo struct {
	launcher.Launcher
	mu    sync.Mutex
	asked any
	reply any
	items []launcher.OutputItem
	lines []plugin.Line
	err   error
}

func (e *echo) set(reply any, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked, e.reply, e.err = nil, reply, err
}

func answer[T any](e *echo, asked any) (T, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = asked
	out, _ := e.reply.(T)
	return out, e.err
}

func (e *echo) Launch(_ context.Context, r launcher.LaunchRequest) (launcher.Launched, error) {
	return answer[launcher.Launched](e, r)
}

func (e *echo) List(_ context.Context, gw string) (launcher.Listing, error) {
	return answer[launcher.Listing](e, gw)
}

func (e *echo) Recover(_ context.Context, id string) (launcher.Instance, error) {
	return answer[launcher.Instance](e, id)
}

func (e *echo) Inspect(_ context.Context, id string) (launcher.Inspection, error) {
	return answer[launcher.Inspection](e, id)
}

func (e *echo) Output(_ context.Context, _ launcher.OutputRequest, sink func(launcher.OutputItem) error) error {
	for _, item := range e.items {
		if err := sink(item); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err // after End the client is gone: later calls are not recorded
}

func (e *echo) Signal(_ context.Context, id, signal string) error {
	_, err := answer[struct{}](e, id+" "+signal)
	return err
}

func (e *echo) Stop(_ context.Context, id string, grace time.Duration) (launcher.Stopped, error) {
	return answer[launcher.Stopped](e, fmt.Sprint(id, grace))
}

func (e *echo) Release(_ context.Context, id string) error {
	_, err := answer[struct{}](e, id)
	return err
}

func (e *echo) Exec(
	_ context.Context, r launcher.ExecRequest, sink func(plugin.Line) error,
) (launcher.ExecResult, error) {
	for _, l := range e.lines {
		if err := sink(l); err != nil {
			return launcher.ExecResult{}, err
		}
	}
	return answer[launcher.ExecResult](e, r)
}

func dial(t *testing.T, impl launcher.Launcher) launcher.Launcher {
	t.Helper()
	return launcher.NewClient(wiretest.Dial(t, func(s grpc.ServiceRegistrar) { launcher.RegisterServer(s, impl) }))
}

func TestEveryFieldSurvivesTheRoundTrip(t *testing.T) {
	e := &echo{}
	c, ctx := dial(t, e), t.Context()
	rapid.Check(t, func(t *rapid.T) {
		req := wiretest.Draw[launcher.LaunchRequest](t, rules)
		launched := wiretest.Draw[launcher.Launched](t, rules)
		launched.Instance.LaunchID = req.LaunchID
		e.set(launched, nil)
		got, err := c.Launch(ctx, req)
		check(t, "Launch", err, e.asked, req, got, launched)

		listing := wiretest.Draw[launcher.Listing](t, rules)
		e.set(listing, nil)
		l, err := c.List(ctx, "main")
		check(t, "List", err, e.asked, "main", l, listing)

		inst := launched.Instance
		e.set(inst, nil)
		i, err := c.Recover(ctx, inst.LaunchID)
		check(t, "Recover", err, e.asked, inst.LaunchID, i, inst)

		inspection := wiretest.Draw[launcher.Inspection](t, rules)
		e.set(inspection, nil)
		in, err := c.Inspect(ctx, inspection.Instance.LaunchID)
		check(t, "Inspect", err, e.asked, inspection.Instance.LaunchID, in, inspection)

		stopped := wiretest.Draw[launcher.Stopped](t, rules)
		e.set(stopped, nil)
		s, err := c.Stop(ctx, "x", time.Minute)
		check(t, "Stop", err, e.asked, "x1m0s", s, stopped)

		e.set(nil, nil)
		check(t, "Signal", c.Signal(ctx, "x", "SIGUSR2"), e.asked, "x SIGUSR2", nil, nil)
		check(t, "Release", c.Release(ctx, "x"), e.asked, "x", nil, nil)

		exec := wiretest.Draw[launcher.ExecRequest](t, rules)
		result := wiretest.Draw[launcher.ExecResult](t, rules)
		e.lines = wiretest.Draw[[]plugin.Line](t, rules)
		e.set(result, nil)
		var lines []plugin.Line
		x, err := c.Exec(ctx, exec, func(l plugin.Line) error { lines = append(lines, l); return nil })
		check(t, "Exec", err, e.asked, exec, x, result)
		wiretest.Same(t, "the lines of Exec", lines, e.lines)

		e.items = items(t)
		e.set(nil, nil)
		out := launcher.OutputRequest{LaunchID: "x", Follow: true}
		var seen []launcher.OutputItem
		err = c.Output(ctx, out, func(item launcher.OutputItem) error { seen = append(seen, item); return nil })
		check(t, "Output", err, nil, nil, seen, e.items)
	})
}

func check(t *rapid.T, method string, err error, asked, wantAsked, got, want any) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	if wantAsked != nil {
		wiretest.Same(t, "the request of "+method, asked, wantAsked)
	}
	wiretest.Same(t, "the answer of "+method, got, want)
}

// items is an output as a launcher may send it: cursors grow, End is last.
func items(t *rapid.T) []launcher.OutputItem {
	var out []launcher.OutputItem
	cursor := uint64(0)
	for range rapid.IntRange(0, 5).Draw(t, "items") {
		switch rapid.IntRange(0, 2).Draw(t, "item") {
		case 0:
			b := wiretest.Draw[launcher.LineBatch](t, rules)
			for i := range b.Lines {
				cursor += uint64(len(b.Lines[i].Text)) + 1
				b.Lines[i].Cursor = cursor
			}
			out = append(out, &b)
		case 1:
			g := &launcher.Gap{From: cursor, To: cursor + 100, Bytes: 100}
			cursor = g.To
			out = append(out, g)
		case 2:
			out = append(out, &launcher.Heartbeat{Cursor: cursor})
		}
	}
	end := wiretest.Draw[launcher.End](t, rules)
	end.EndCursor = cursor
	return append(out, &end)
}

func TestOrphanGraceOfZeroIsNotNever(t *testing.T) {
	e := &echo{reply: launcher.Launched{Instance: launcher.Instance{LaunchID: "x", Phase: launcher.PhaseStarting}}}
	zero := time.Duration(0)
	if _, err := dial(t, e).Launch(t.Context(), launcher.LaunchRequest{
		LaunchID: "x", Process: plugin.ProcessSpec{Argv: []string{"true"}}, OrphanGrace: &zero,
	}); err != nil {
		t.Fatal(err)
	}
	if got := e.asked.(launcher.LaunchRequest).OrphanGrace; got == nil || *got != 0 {
		t.Errorf("orphan grace = %v", got)
	}
}

func TestErrorsKeepCodeHintAndDetails(t *testing.T) {
	e := &echo{err: &fault.Error{Code: fault.Conflict, Message: "m", Hint: "h", Details: map[string]string{"pid": "7"}}}
	c := dial(t, e)
	_, err := c.List(t.Context(), "")
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Code != fault.Conflict || f.Hint != "h" || f.Details["pid"] != "7" {
		t.Errorf("unary: %+v", err)
	}
	err = c.Output(t.Context(), launcher.OutputRequest{LaunchID: "x", Follow: true},
		func(launcher.OutputItem) error { return nil })
	if f, ok = errors.AsType[*fault.Error](err); !ok || f.Code != fault.Conflict || f.Hint != "h" {
		t.Errorf("stream: %+v", err)
	}
}

func TestFailingSinkEndsTheOutputOnBothSides(t *testing.T) {
	ended := make(chan error, 1)
	impl := &outputFunc{f: func(ctx context.Context, _ launcher.OutputRequest,
		sink func(launcher.OutputItem) error,
	) error {
		_ = sink(&launcher.Heartbeat{})
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}}
	full := errors.New("the sink is full")
	err := dial(t, impl).Output(t.Context(), launcher.OutputRequest{LaunchID: "x", Follow: true},
		func(launcher.OutputItem) error { return full })
	if !errors.Is(err, full) {
		t.Errorf("error = %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the launcher's side ended with %v", err)
	}
}

func TestCancelledOutputEndsOnBothSides(t *testing.T) {
	ended := make(chan struct{})
	impl := &outputFunc{f: func(ctx context.Context, _ launcher.OutputRequest,
		sink func(launcher.OutputItem) error,
	) error {
		_ = sink(&launcher.Heartbeat{})
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	}}
	ctx, cancel := context.WithCancel(t.Context())
	err := dial(t, impl).Output(ctx, launcher.OutputRequest{LaunchID: "x", Follow: true},
		func(launcher.OutputItem) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
	<-ended
}

type outputFunc struct {
	launcher.Launcher
	f func(context.Context, launcher.OutputRequest, func(launcher.OutputItem) error) error
}

func (o *outputFunc) Output(ctx context.Context, r launcher.OutputRequest, sink func(launcher.OutputItem) error) error {
	return o.f(ctx, r, sink)
}

// liar serves messages that no Go launcher could send.
type liar struct {
	pb.UnimplementedLauncherServiceServer
	inst  *pb.Instance
	items []*pb.OutputResponse
}

func (l *liar) Inspect(context.Context, *pb.LauncherServiceInspectRequest) (*pb.LauncherServiceInspectResponse, error) {
	return &pb.LauncherServiceInspectResponse{Instance: l.inst}, nil
}

func (l *liar) Output(_ *pb.OutputRequest, s grpc.ServerStreamingServer[pb.OutputResponse]) error {
	for _, i := range l.items {
		if err := s.Send(i); err != nil {
			return err
		}
	}
	return nil
}

func TestNonsenseIsRefusedInWords(t *testing.T) {
	l := &liar{}
	c := launcher.NewClient(wiretest.Dial(t, func(s grpc.ServiceRegistrar) { pb.RegisterLauncherServiceServer(s, l) }))
	nonsense := func(want string, err error) {
		t.Helper()
		if !errors.Is(err, fault.ErrInternal) || !strings.Contains(err.Error(), "plugin violated the contract: ") ||
			!strings.Contains(err.Error(), want) ||
			fault.HintOf(err) == "" {
			t.Errorf("error = %v, want %q", err, want)
		}
	}
	for want, inst := range map[string]*pb.Instance{
		"left out the instance":    nil,
		"a launch id that is none": {LaunchId: "../../etc", Phase: pb.InstancePhase_INSTANCE_PHASE_STARTING},
		"it spoke of y":            {LaunchId: "y", Phase: pb.InstancePhase_INSTANCE_PHASE_STARTING},
		"phase 0":                  {LaunchId: "x"},
		"phase 99":                 {LaunchId: "x", Phase: 99},
		"pid -1":                   {LaunchId: "x", Phase: pb.InstancePhase_INSTANCE_PHASE_RUNNING, Pid: -1},
		"pid 0":                    {LaunchId: "x", Phase: pb.InstancePhase_INSTANCE_PHASE_RUNNING},
		"without an exit":          {LaunchId: "x", Phase: pb.InstancePhase_INSTANCE_PHASE_ENDED},
	} {
		l.inst = inst
		_, err := c.Inspect(t.Context(), "x")
		nonsense(want, err)
	}
	line := func(cursor uint64) *pb.OutputResponse {
		return &pb.OutputResponse{
			Item: &pb.OutputResponse_Batch{Batch: &pb.LineBatch{Lines: []*pb.Line{{Cursor: cursor, Text: "x"}}}},
		}
	}
	for want, items := range map[string][]*pb.OutputResponse{
		"cursor 5 after 5":                 {line(5), line(5)},
		"cursor 3 after 5":                 {line(5), line(3)},
		"a gap from 1 to 3 after cursor 5": {line(5), {Item: &pb.OutputResponse_Gap{Gap: &pb.Gap{From: 1, To: 3}}}},
		"an empty item of output":          {{}},
		"without an End":                   {line(1)},
		"an end without an exit":           {{Item: &pb.OutputResponse_End{End: &pb.End{}}}},
		"an end at cursor 2 after 5": {
			line(5),
			{Item: &pb.OutputResponse_End{End: &pb.End{Exit: &pb.Exit{}, EndCursor: 2}}},
		},
	} {
		l.items = items
		nonsense(want, c.Output(t.Context(), launcher.OutputRequest{LaunchID: "x", Follow: true},
			func(launcher.OutputItem) error { return nil }))
	}
	l.items = []*pb.OutputResponse{{Item: &pb.OutputResponse_Batch{Batch: &pb.LineBatch{Lines: []*pb.Line{
		{Cursor: math.MaxUint64, Text: strings.Repeat("€", 1<<20), Stream: 77},
	}}}}}
	if err := c.Output(t.Context(), launcher.OutputRequest{LaunchID: "x"}, func(item launcher.OutputItem) error {
		got := item.(*launcher.LineBatch).Lines[0]
		if len(got.Text) > 64<<10 || !got.Truncated || got.Stream != 0 || strings.ContainsRune(got.Text, '\uFFFD') {
			t.Errorf("a line of %d bytes, truncated %v, stream %v", len(got.Text), got.Truncated, got.Stream)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestFaultyRequestsDoNotReachTheImplementation(t *testing.T) {
	e := &echo{}
	c := dial(t, e)
	ok := plugin.ProcessSpec{Argv: []string{"true"}}
	negative := -time.Second
	for name, req := range map[string]launcher.LaunchRequest{
		"a path for an id": {LaunchID: "../x", Process: ok},
		"a dot":            {LaunchID: "..", Process: ok},
		"no program":       {LaunchID: "x"},
		"a negative grace": {LaunchID: "x", Process: ok, OrphanGrace: &negative},
		"a faulty variable": {LaunchID: "x", Process: plugin.ProcessSpec{
			Argv: ok.Argv,
			Env:  []plugin.EnvVar{{Name: "A=B", Value: "canary"}},
		}},
		"a zero byte in a value": {LaunchID: "x", Process: plugin.ProcessSpec{
			Argv: ok.Argv,
			Env:  []plugin.EnvVar{{Name: "A", Value: "canary\x00"}},
		}},
	} {
		_, err := c.Launch(t.Context(), req)
		if !errors.Is(err, fault.ErrInvalidArgument) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, req := range map[string]launcher.ExecRequest{
		"no timeout": {Process: ok}, "no program": {Timeout: time.Second},
		"too much input": {Process: ok, Timeout: time.Second, Stdin: make([]byte, 1<<20+1)},
	} {
		if _, err := c.Exec(t.Context(), req, nil); !errors.Is(err, fault.ErrInvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if e.asked != nil {
		t.Errorf("the implementation was asked: %v", e.asked)
	}
}

func TestLongBatchesAreCutIntoMessages(t *testing.T) {
	e := &echo{items: []launcher.OutputItem{&launcher.LineBatch{}}}
	b := e.items[0].(*launcher.LineBatch)
	for i := range 1000 {
		b.Lines = append(b.Lines, plugin.Line{
			Cursor: uint64(i + 1), Stream: plugin.Stdout,
			Text: strings.Repeat("x", 60<<10),
		})
	}
	n := 0
	if err := dial(t, e).Output(t.Context(), launcher.OutputRequest{LaunchID: "x"},
		func(item launcher.OutputItem) error {
			n += len(item.(*launcher.LineBatch).Lines)
			return nil
		}); err != nil || n != 1000 {
		t.Errorf("%d lines, %v", n, err)
	}
}

func TestFakeFollowsAndEndsInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &launcher.Fake{ExitAfter: time.Hour, ExitCode: 78, KeepLines: 3}
		if _, err := f.Launch(t.Context(), launcher.LaunchRequest{LaunchID: "x"}); err != nil {
			t.Fatal(err)
		}
		f.Emit("x", "one", "two", "three", "four", "five")
		var got []string
		done := make(chan error, 1)
		go func() {
			done <- f.Output(t.Context(), launcher.OutputRequest{LaunchID: "x", Follow: true},
				func(item launcher.OutputItem) error {
					switch item := item.(type) {
					case *launcher.LineBatch:
						for _, l := range item.Lines {
							got = append(got, l.Text)
						}
					case *launcher.Gap:
						got = append(got, "gap")
					case *launcher.Heartbeat:
						got = append(got, "heartbeat")
					case *launcher.End:
						got = append(got, item.Exit.String())
					}
					return nil
				})
		}()
		time.Sleep(20 * time.Second)
		f.Emit("x", "six")
		time.Sleep(2 * time.Second)
		f.Exit("x", plugin.Exit{Code: 78})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		want := []string{"gap", "three", "four", "five", "heartbeat", "six", "exit code 78"}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if f.Live() != 0 || f.Release(t.Context(), "x") != nil {
			t.Error("it lives on")
		}
		time.Sleep(2 * time.Hour) // the timer of ExitAfter meets a released launch
	})
}
