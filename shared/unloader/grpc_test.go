package unloader_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"pgregory.net/rapid"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/internal/wiretest"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/unloader"
)

var rules = wiretest.Rules{
	"plugin.GatewayFacts.Port": func(t *rapid.T) any { return rapid.IntRange(1, 65535).Draw(t, "port") },
}

type echo struct {
	asked    []any
	services []unloader.Service
	unloaded unloader.Unloaded
	err      error
}

func (e *echo) Inspect(_ context.Context, gw plugin.GatewayFacts) ([]unloader.Service, error) {
	e.asked = []any{gw}
	return e.services, e.err
}

func (e *echo) Unload(_ context.Context, gw plugin.GatewayFacts, id string) (unloader.Unloaded, error) {
	e.asked = []any{gw, id}
	return e.unloaded, e.err
}

func (e *echo) Restore(_ context.Context, undo []byte) (bool, error) {
	e.asked = []any{undo}
	return e.unloaded.Changed, e.err
}

func dial(t *testing.T, impl unloader.Unloader) unloader.Unloader {
	t.Helper()
	return unloader.NewClient(wiretest.Dial(t, func(s grpc.ServiceRegistrar) { unloader.RegisterServer(s, impl) }))
}

func TestEveryFieldSurvivesTheRoundTrip(t *testing.T) {
	e := &echo{}
	c, ctx := dial(t, e), t.Context()
	rapid.Check(t, func(t *rapid.T) {
		gw := wiretest.Draw[plugin.GatewayFacts](t, rules)
		e.services = wiretest.Draw[[]unloader.Service](t, rules)
		services, err := c.Inspect(ctx, gw)
		if err != nil {
			t.Fatal(err)
		}
		wiretest.Same(t, "the request of Inspect", e.asked, []any{gw})
		wiretest.Same(t, "the answer of Inspect", services, e.services)

		e.unloaded = wiretest.Draw[unloader.Unloaded](t, rules)
		u, err := c.Unload(ctx, gw, "gui/501/x")
		if err != nil {
			t.Fatal(err)
		}
		wiretest.Same(t, "the request of Unload", e.asked, []any{gw, "gui/501/x"})
		wiretest.Same(t, "the answer of Unload", u, e.unloaded)

		changed, err := c.Restore(ctx, u.Undo)
		if err != nil || !changed {
			t.Fatal(changed, err)
		}
		wiretest.Same(t, "the request of Restore", e.asked, []any{u.Undo})
	})
}

func TestErrorsKeepCodeAndHint(t *testing.T) {
	e := &echo{err: fault.New(fault.PermissionDenied, "no").WithHint("use sudo")}
	c := dial(t, e)
	_, err := c.Inspect(t.Context(), plugin.GatewayFacts{})
	_, err2 := c.Unload(t.Context(), plugin.GatewayFacts{}, "x")
	_, err3 := c.Restore(t.Context(), nil)
	for _, err := range []error{err, err2, err3} {
		if !errors.Is(err, fault.ErrPermissionDenied) || fault.HintOf(err) != "use sudo" {
			t.Errorf("error = %v", err)
		}
	}
}

type liar struct {
	pb.UnimplementedUnloaderServiceServer
	services []*pb.PlatformService
}

func (l *liar) Inspect(context.Context, *pb.UnloaderServiceInspectRequest) (*pb.UnloaderServiceInspectResponse, error) {
	return &pb.UnloaderServiceInspectResponse{Services: l.services}, nil
}

func (l *liar) Unload(context.Context, *pb.UnloadRequest) (*pb.UnloadResponse, error) {
	return &pb.UnloadResponse{Undo: make([]byte, 64<<10+1)}, nil
}

func TestNonsenseIsRefusedInWords(t *testing.T) {
	l := &liar{}
	c := unloader.NewClient(wiretest.Dial(t, func(s grpc.ServiceRegistrar) { pb.RegisterUnloaderServiceServer(s, l) }))
	for _, l.services = range [][]*pb.PlatformService{{{}}, {{Id: "x", Pid: -1}}, make([]*pb.PlatformService, 300)} {
		if _, err := c.Inspect(t.Context(), plugin.GatewayFacts{}); err == nil ||
			!strings.Contains(err.Error(), "plugin violated the contract: ") {
			t.Errorf("error = %v", err)
		}
	}
	if _, err := c.Unload(t.Context(), plugin.GatewayFacts{}, "x"); err == nil ||
		!strings.Contains(err.Error(), "plugin violated the contract: ") {
		t.Errorf("error = %v", err)
	}
	if _, err := dial(t, &echo{}).Restore(t.Context(), make([]byte, 64<<10+1)); !errors.Is(err,
		fault.ErrInvalidArgument) {
		t.Errorf("error = %v", err)
	}
}

func TestFakeUnloadsOnceAndRestores(t *testing.T) {
	f := &unloader.Fake{Services: []unloader.Service{{ID: "x", Loaded: true, PID: 7}}}
	c := dial(t, f)
	first, err := c.Unload(t.Context(), plugin.GatewayFacts{}, "x")
	if err != nil || !first.Changed {
		t.Fatal(first, err)
	}
	if again, err := c.Unload(t.Context(), plugin.GatewayFacts{}, "x"); err != nil || again.Changed {
		t.Error(again, err)
	}
	if s, err := c.Inspect(t.Context(), plugin.GatewayFacts{}); err != nil || s[0].Loaded || s[0].PID != 0 {
		t.Error(s, err)
	}
	if changed, err := c.Restore(t.Context(), first.Undo); err != nil || !changed {
		t.Error(changed, err)
	}
	if changed, err := c.Restore(t.Context(), first.Undo); err != nil || changed {
		t.Error(changed, err)
	}
}
