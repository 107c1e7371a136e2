//go:build unix

// Command plugin keeps the contract of gatehost's plugins but for one promise, which its argument names; without one,
// or with "sound", it keeps all of them. The second argument is the kind that it serves.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	launcherutility "github.com/gatehost/gatehost/plugins/launcher-utility"
	"github.com/gatehost/gatehost/shared/fault"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

func main() {
	mode, kind := argument(1, "sound"), argument(2, "doctor")
	p := pluginkit.Plugin{
		Name: "verify-plugin", Version: "1.0.0", Configure: table{mode}.configure,
		ConfigFields: []plugin.ConfigField{{Path: "level", Type: "integer", DefaultJSON: "1", Doc: "how loud it is"}},
	}
	switch kind {
	case "launcher":
		inner := launcherutility.New()
		utility := inner.Plugin()
		p.Launcher = &starter{Launcher: inner, mode: mode, launched: map[string]bool{}}
		p.Configure, p.ConfigFields = utility.Configure, utility.ConfigFields
	case "unloader":
		p.Unloader = &porter{mode: mode}
	case "classifier":
		p.Classifier = &judge{mode: mode, seen: map[string]bool{}}
	default:
		m := &healer{mode: mode, asked: map[string]int{}, locks: map[string]chan struct{}{}}
		p.Doctor = m
		if mode == "sound" || mode == "verifies-blindly" {
			p.Doctor = verifier{m}
		}
	}
	begin(mode)
	if mode == "describes-itself-differently" || mode == "announces-what-it-does-not-serve" ||
		mode == "announces-verify-without-it" {
		serveRaw(p, mode)
	}
	pluginkit.Serve(p)
}

func argument(n int, otherwise string) string {
	if len(os.Args) > n {
		return os.Args[n]
	}
	return otherwise
}

// level is the one key of the table.
var level atomic.Int64

// table takes the plugin's table, and misses what its mode says.
type table struct{ mode string }

func (t table) configure(_ context.Context, req plugin.ConfigureRequest) ([]plugin.Diagnostic, error) {
	var into struct {
		Level int64 `json:"level"`
	}
	switch t.mode {
	case "takes-what-is-not-json":
		if !json.Valid(req.Config) {
			return nil, nil
		}
	case "takes-unknown-keys":
		if err := json.Unmarshal(req.Config, &into); err != nil {
			return []plugin.Diagnostic{{Severity: plugin.SeverityError, Path: "level", Message: err.Error()}}, nil
		}
		return nil, nil
	case "dies-of-a-large-table":
		if len(req.Config) > 1<<20 {
			os.Exit(9)
		}
	case "puts-a-refused-table-in-force":
		if json.Unmarshal(req.Config, &into) == nil {
			level.Store(into.Level)
		}
	}
	got, faults := pluginkit.DecodeConfig(req.Config, into)
	if len(faults) > 0 {
		if t.mode == "fails-on-a-wrong-type" && faults[0].Path == "level" {
			return nil, fault.New(fault.InvalidArgument, "level: "+faults[0].Message)
		}
		return faults, nil
	}
	level.Store(got.Level)
	return nil, nil
}

// serveRaw serves with a Describe of its own.
func serveRaw(p pluginkit.Plugin, mode string) {
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}()
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: pluginkit.Handshake(), Plugins: goplugin.PluginSet{pluginkit.PluginName: &raw{p: p, mode: mode}},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, pluginkit.ServerOptions(context.Background())...)...)
		},
	})
	os.Exit(0)
}

type raw struct {
	goplugin.NetRPCUnsupportedPlugin
	p    pluginkit.Plugin
	mode string
}

// GRPCServer registers the plugin's services and, in the place of Describe, its own.
func (r *raw) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	pluginkit.Register(&without{s}, r.p)
	pb.RegisterPluginServiceServer(s, &describer{configure: r.p.Configure, mode: r.mode})
	return nil
}

func (r *raw) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

// without registers all but the common service.
type without struct{ s *grpc.Server }

func (w *without) RegisterService(d *grpc.ServiceDesc, impl any) {
	if d.ServiceName != pb.PluginService_ServiceDesc.ServiceName {
		w.s.RegisterService(d, impl)
	}
}

type describer struct {
	pb.UnimplementedPluginServiceServer
	configure func(context.Context, plugin.ConfigureRequest) ([]plugin.Diagnostic, error)
	mode      string
	calls     atomic.Int64
}

func (d *describer) Describe(context.Context, *pb.DescribeRequest) (*pb.DescribeResponse, error) {
	r := &pb.DescribeResponse{Name: "verify-plugin", Version: "1.0.0", Services: []*pb.ServiceInfo{
		{Kind: pb.Kind_KIND_DOCTOR, MinVersion: 1, MaxVersion: 1},
	}}
	if d.mode == "announces-what-it-does-not-serve" {
		r.Services = append(r.Services, &pb.ServiceInfo{Kind: pb.Kind_KIND_CLASSIFIER, MinVersion: 1, MaxVersion: 1})
	} else if d.mode == "announces-verify-without-it" {
		r.Services[0].Capabilities = []string{plugin.CapabilityVerify}
	} else {
		r.Homepage = fmt.Sprintf("https://example.org/%d", d.calls.Add(1))
	}
	return r, nil
}

func (d *describer) Configure(ctx context.Context, r *pb.ConfigureRequest) (*pb.ConfigureResponse, error) {
	got, err := d.configure(ctx, plugin.ConfigureRequest{Config: r.GetConfigJson()})
	out := &pb.ConfigureResponse{}
	for _, x := range got {
		out.Diagnostics = append(out.Diagnostics,
			&pb.Diagnostic{Severity: pb.Severity(x.Severity), Path: x.Path, Message: x.Message})
	}
	return out, fault.ToStatus(err)
}

// pause waits, but not longer than ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
