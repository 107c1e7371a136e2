package pluginhost

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/gatehost/gatehost/shared/plugin"
)

// answering returns a connection whose calls are answered by f.
func answering(t *testing.T, f func(reply any) error) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:nowhere", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(func(_ context.Context, _ string, _, reply any, _ *grpc.ClientConn, _ grpc.UnaryInvoker,
			_ ...grpc.CallOption,
		) error {
			return f(reply)
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestLaunchesThatCannotBeTakenOverAreSaid: unless a process has ended meanwhile, or the host ends.
func TestLaunchesThatCannotBeTakenOverAreSaid(t *testing.T) {
	refused := status.Error(codes.Unavailable, "no list")
	for _, row := range []struct {
		name string
		do   func(old, next *generation, cancel context.CancelFunc)
		err  error
		said bool
	}{
		{"it cannot say what runs", func(*generation, *generation, context.CancelFunc) {}, refused, true},
		{"nothing runs", func(*generation, *generation, context.CancelFunc) {}, nil, false},
		{"it ends", func(old, _ *generation, _ context.CancelFunc) { close(old.proc.done) }, refused, false},
		{"the new one ends", func(_, next *generation, _ context.CancelFunc) { close(next.proc.done) }, refused, false},
		{"the host ends", func(_, _ *generation, cancel context.CancelFunc) { cancel() }, refused, false},
	} {
		var out bytes.Buffer
		s, old := begun(0)
		_, next := begun(0)
		s.log = hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Warn})
		s.opts.Timing.HealthEvery = time.Minute
		ctx, cancel := context.WithCancel(t.Context())
		old.conn = answering(t, func(any) error {
			row.do(old, next, cancel)
			return row.err
		})
		next.conn = old.conn
		for _, gen := range []*generation{old, next} {
			gen.services = []Service{{Kind: plugin.KindLauncher, Version: 1}}
		}
		close(old.idle)
		s.retire(ctx, old, next)
		if said := strings.Contains(out.String(), "cannot take over all launches"); said != row.said {
			t.Errorf("%s: log = %s", row.name, &out)
		}
		cancel()
	}
}

// TestFormerProcessThatUsesFarTooMuchMemoryIsKilled: although it answers, and has a call under way.
func TestFormerProcessThatUsesFarTooMuchMemoryIsKilled(t *testing.T) {
	cmd := exec.Command("/bin/sleep", "600")
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s, old := begun(cmd.Process.Pid)
	old.proc.cmd = cmd
	go func() {
		_ = cmd.Wait()
		close(old.proc.done)
	}()
	s.opts.Timing.HealthEvery, s.opts.Timing.HealthTimeout = time.Millisecond, time.Minute
	checks := 0
	old.conn = answering(t, func(reply any) error {
		if checks++; checks == 3 {
			old.spec.MemoryMax = 1
		}
		r, ok := reply.(*healthpb.HealthCheckResponse)
		if !ok {
			return status.Errorf(codes.Internal, "%T", reply)
		}
		r.Status = healthpb.HealthCheckResponse_SERVING
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s.drain(ctx, old)
	if !old.dead() || checks < 3 {
		_ = cmd.Process.Kill()
		t.Errorf("after %d checks: dead %t", checks, old.dead())
	}
}
