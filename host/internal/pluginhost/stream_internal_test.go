package pluginhost

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/gatehost/gatehost/shared/fault"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

// scripted is a stream to a plugin that does as it is told.
type scripted struct {
	grpc.ClientStream

	ctx        context.Context //nolint:containedctx // as in gRPC
	send, recv error
	did        []string
}

func (s *scripted) SendMsg(any) error { s.did = append(s.did, "send"); return s.send }
func (s *scripted) CloseSend() error  { s.did = append(s.did, "close"); return nil }

func (s *scripted) RecvMsg(any) error {
	s.did = append(s.did, "receive")
	if s.recv == nil {
		<-s.ctx.Done()
		return status.FromContextError(s.ctx.Err()).Err()
	}
	return s.recv
}

// scriptedHost has one plugin, which runs and whose streams are s; calls are those that the host was told of.
func scriptedHost(t *testing.T, s *scripted) (h *Host, calls chan Call) {
	t.Helper()
	calls = make(chan Call, 10) // more than any test makes
	h = New(Options{Log: hclog.NewNullLogger(), OnCall: func(c Call) { calls <- c }})
	if err := h.Add(Spec{Name: "p"}); err != nil {
		t.Fatal(err)
	}
	_, gen := begun(0)
	var err error
	gen.conn, err = grpc.NewClient("passthrough:nowhere", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStreamInterceptor(func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string,
			_ grpc.Streamer, _ ...grpc.CallOption,
		) (grpc.ClientStream, error) {
			s.ctx = ctx
			return s, nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gen.conn.Close() })
	gen.services = []Service{{Kind: plugin.KindLauncher, Version: 1}, {Kind: plugin.KindClassifier, Version: 1}}
	h.plugins["p"].current.running(gen)
	return h, calls
}

const (
	execMethod     = "/gatehost.plugin.v1alpha1.LauncherService/Exec"
	classifyMethod = "/gatehost.plugin.v1alpha1.ClassifierService/Classify"
)

// TestStreamThatEndsBeforeItsRequestIsSentSaysWhy: gRPC calls that the end of the file, and has the reason ready.
func TestStreamThatEndsBeforeItsRequestIsSentSaysWhy(t *testing.T) {
	reason := fault.ToStatus(fault.New(fault.NotFound, "there is no such launch"))
	for name, both := range map[string]bool{execMethod: false, classifyMethod: true} {
		s := &scripted{send: io.EOF, recv: reason}
		h, calls := scriptedHost(t, s)
		stream, err := conn{h, "p"}.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: both}, name)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.SendMsg(&pb.ExecRequest{}); err != nil && !errors.Is(err, io.EOF) || !both && err != nil ||
			s.ctx.Err() != nil {
			t.Errorf("%s: SendMsg = %v, and the call has ended: %v", name, err, s.ctx.Err())
		}
		if err := stream.RecvMsg(&pb.ExecResponse{}); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s: RecvMsg = %v", name, err)
		}
		if both {
			continue // its client reports each exchange
		}
		if c := <-calls; fault.CodeOf(c.Err) != fault.NotFound || c.Method != "Launcher.Exec" {
			t.Errorf("told %+v", c)
		}
	}
}

func TestStreamThatCannotBeSentToFails(t *testing.T) {
	for name, both := range map[string]bool{execMethod: false, classifyMethod: true} {
		s := &scripted{send: fault.ToStatus(fault.New(fault.Exhausted, "it is too large"))}
		h, calls := scriptedHost(t, s)
		stream, err := conn{h, "p"}.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: both}, name)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.SendMsg(&pb.ExecRequest{}); fault.CodeOf(err) != fault.Exhausted ||
			s.ctx.Err() == nil {
			t.Errorf("%s: SendMsg = %v, and the call goes on: %t", name, err, s.ctx.Err() == nil)
		}
		if slices.Contains(s.did, "close") {
			t.Errorf("%s: %q", name, s.did)
		}
		if told := len(calls); told != 1 && !both || told != 0 && both {
			t.Errorf("%s: the host was told of %d calls", name, told)
		}
	}
}

// TestRequestOfAStreamIsItsLastWord: a plugin may wait for the end of what it reads.
func TestRequestOfAStreamIsItsLastWord(t *testing.T) {
	s := &scripted{recv: io.EOF}
	h, _ := scriptedHost(t, s)
	stream, err := conn{h, "p"}.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, execMethod)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(&pb.ExecRequest{}); err != nil || !slices.Equal(s.did, []string{"send", "close"}) {
		t.Errorf("%v, %q", err, s.did)
	}
}

// TestStreamThatItsCallerLeavesIsTold: it may never read to the end.
func TestStreamThatItsCallerLeavesIsTold(t *testing.T) {
	s := &scripted{}
	h, calls := scriptedHost(t, s)
	why := errors.New("the caller has left")
	ctx, cancel := context.WithCancelCause(t.Context())
	stream, err := conn{h, "p"}.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, execMethod)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(&pb.ExecRequest{}); err != nil {
		t.Fatal(err)
	}
	cancel(why)
	select {
	case c := <-calls:
		if !errors.Is(c.Err, why) {
			t.Errorf("told %+v", c)
		}
	case <-time.After(time.Minute):
		t.Error("the host was not told")
	}
}

// TestCallOfAReplacedProcessHasItsOwnBound: by what its method does.
func TestCallOfAReplacedProcessHasItsOwnBound(t *testing.T) {
	never := func(*generation) {}
	for _, row := range []struct {
		name   string
		how    onReplace
		limit  time.Duration // of the call itself; 0: none
		moved  bool
		do     func(*generation) // after 1 s
		want   error
		within time.Duration
	}{
		{"one that can be asked again", retry, 0, true, never, errMoved, 5 * time.Second},
		{"one that changes something, without a deadline", finish, 0, true, never, errMoved, 10 * time.Minute},
		{"one that changes something", finish, time.Hour, true, never, nil, time.Hour},
		{"a stream", reopen, 0, true, never, errMoved, 0},
		{"its process ends", finish, 0, true, func(g *generation) { close(g.proc.done) }, fault.ErrPluginGone, time.Second},
		{"its process is left", finish, 0, true, func(g *generation) { close(g.gone) }, fault.ErrPluginGone, time.Second},
		{
			"not replaced, it ends", retry, 0, false, func(g *generation) { close(g.proc.done) }, fault.ErrPluginGone,
			time.Second,
		},
		{"not replaced", retry, time.Hour, false, never, nil, time.Hour},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, gen := begun(42)
				s.opts.Timing = s.opts.Timing.withDefaults()
				ctx, cancel := context.WithCancel(t.Context())
				if row.limit > 0 {
					ctx, cancel = context.WithTimeout(t.Context(), row.limit)
				}
				defer cancel()
				if row.moved {
					close(gen.moved)
				}
				timer := time.AfterFunc(time.Second, func() { row.do(gen) })
				defer timer.Stop()
				a := &attempt{call: &call{method: method{onReplace: row.how}, s: s}, g: gen, ctx: ctx}
				from := time.Now()
				if err := a.cut(); !errors.Is(err, row.want) || time.Since(from) != row.within {
					t.Errorf("after %v: %v, want %v after %v", time.Since(from), err, row.want, row.within)
				}
			})
		})
	}
}

// TestFailedExchangeMakesAPluginSuspect: and one that went well does not.
func TestFailedExchangeMakesAPluginSuspect(t *testing.T) {
	for _, err := range []error{nil, errors.New("no verdict came")} {
		h, calls := scriptedHost(t, &scripted{})
		s := h.plugins["p"]
		g, getErr := s.current.get(t.Context())
		if getErr != nil {
			t.Fatal(getErr)
		}
		k := &call{conn: conn{h, "p"}, method: methods["Classifier.Classify"], s: s}
		(&stream{call: k, at: k.begin(t.Context(), g, nil)}).exchanged(err)
		if c := <-calls; !errors.Is(c.Err, err) || len(s.suspect) == 1 != (err != nil) {
			t.Errorf("%v: told %v, suspect %d", err, c.Err, len(s.suspect))
		}
	}
}

// TestStreamIsOpenedAgainAfterAPauseUnlessItsProcessWasReplaced: a process that lives and refuses must not make a busy
// loop.
func TestStreamIsOpenedAgainAfterAPauseUnlessItsProcessWasReplaced(t *testing.T) {
	for _, row := range []struct {
		err    error
		pauses bool
	}{{fault.New(fault.PluginGone, "it refuses"), true}, {(&call{}).moved(), false}} {
		h, _ := scriptedHost(t, &scripted{recv: io.EOF})
		s := h.plugins["p"]
		s.opts.Timing.BackoffBase = 4 * time.Hour
		g, err := s.current.get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		k := &call{conn: conn{h, "p"}, method: methods["Launcher.Output"], s: s}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		st := &stream{call: k, ctx: ctx, desc: &grpc.StreamDesc{ServerStreams: true}, req: &pb.OutputRequest{}}
		st.at = k.begin(ctx, g, nil)
		err = st.resumed(row.err)
		if paused := ctx.Err() != nil; paused != row.pauses || !row.pauses && err != nil {
			t.Errorf("%v: paused %t, %v", row.err, paused, err)
		}
		cancel()
	}
}
