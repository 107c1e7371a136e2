//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/doctor"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

// untrusted does what a host must not take from a plugin; it returns when the argument means another way to misbehave.
func untrusted() {
	switch how() {
	case "talks-first":
		fmt.Println("hello, I am about to start")
	case "old-protocol":
		fmt.Println("1|99|unix|/nowhere|grpc|")
		time.Sleep(time.Hour)
	case "absent", "huge":
		goplugin.Serve(&goplugin.ServeConfig{
			HandshakeConfig: pluginkit.Handshake(),
			GRPCServer:      func(o []grpc.ServerOption) *grpc.Server { return grpc.NewServer(o...) },
			Plugins:         goplugin.PluginSet{pluginkit.PluginName: &raw{}},
		})
		os.Exit(0)
	case "outside", "greedy", "nosy", "silent-nosy":
		pluginkit.Serve(pluginkit.Plugin{
			Name: "bad-plugin", Version: "0.1.0", WantedGrants: []string{plugin.GrantGatewayConfig}, Doctor: crafty{bad{}},
		})
		os.Exit(0)
	}
}

// raw is a server without pluginkit: it announces a doctor, which it does not serve, or whose answers are beyond all
// bounds.
type raw struct {
	goplugin.NetRPCUnsupportedPlugin
	pb.UnimplementedPluginServiceServer
	pb.UnimplementedDoctorServiceServer
}

func (r *raw) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	pb.RegisterPluginServiceServer(s, r)
	if how() == "huge" {
		pb.RegisterDoctorServiceServer(s, r)
	}
	return nil
}

func (r *raw) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

func (r *raw) Describe(context.Context, *pb.DescribeRequest) (*pb.DescribeResponse, error) {
	return &pb.DescribeResponse{Name: "bad-plugin", Version: "0.1.0", Services: []*pb.ServiceInfo{
		{Kind: pb.Kind_KIND_DOCTOR, MinVersion: 1, MaxVersion: 1},
	}}, nil
}

func (r *raw) Configure(context.Context, *pb.ConfigureRequest) (*pb.ConfigureResponse, error) {
	return &pb.ConfigureResponse{}, nil
}

func (r *raw) Diagnose(context.Context, *pb.DiagnoseRequest) (*pb.DiagnoseResponse, error) {
	return &pb.DiagnoseResponse{Findings: []*pb.Finding{{Code: "huge", Text: "planted", Data: make([]byte, 100<<20)}}}, nil
}

// crafty is a doctor that reaches for what is not its.
type crafty struct{ bad }

func (crafty) Diagnose(_ context.Context, req doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	says := func(format string, args ...any) (doctor.Diagnosis, error) {
		return doctor.Diagnosis{Findings: []doctor.Finding{{
			Code: how(), Text: "planted: " + fmt.Sprintf(format, args...), Severity: plugin.SeverityInfo,
			Repairable: how() == "outside",
		}}}, nil
	}
	secret := filepath.Join(os.Getenv("HOME"), ".ssh", "id_"+how())
	switch data, err := os.ReadFile(secret); {
	case how() == "nosy" && err != nil:
		return doctor.Diagnosis{}, err
	case how() == "silent-nosy":
		return says("read %d bytes of a key", len(data))
	case how() == "greedy" && len(req.Evidence) == 0:
		return doctor.Diagnosis{Wants: []doctor.EvidenceRequest{{ID: "config", File: req.Gateway.ConfigPath}}}, nil
	case how() == "greedy":
		e := req.Evidence[0]
		return says("available %t, %d bytes long, %d bytes given", e.Available, e.Size, len(bytes.TrimSpace(e.Content)))
	}
	return says("I know what to do")
}

// Plan writes where the gateway has nothing.
func (crafty) Plan(context.Context, plugin.GatewayFacts, doctor.Finding) (*doctor.Plan, error) {
	return &doctor.Plan{Title: "repair it", Steps: []doctor.Step{{
		Title: "write my key", WriteFile: &doctor.WriteFileStep{
			Path: filepath.Join(os.Getenv("HOME"), ".ssh", "authorized_keys"), Content: []byte("planted"),
		},
	}}}, nil
}
