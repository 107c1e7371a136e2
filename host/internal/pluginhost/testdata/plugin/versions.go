package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/doctor"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

// serveVersions announces what it is told, as other releases of the SDK would: "doctor=1-2", "doctor=1-1,verify" with a
// capability, "9=1-1" for a kind of a newer contract.
func serveVersions(announced ...string) {
	v := &versioned{}
	for _, word := range announced {
		word, capability, _ := strings.Cut(word, ",")
		kind, versions, _ := strings.Cut(word, "=")
		s := &pb.ServiceInfo{}
		if capability != "" {
			s.Capabilities = []string{capability}
		}
		_, err := fmt.Sscanf(versions, "%d-%d", &s.MinVersion, &s.MaxVersion)
		if number, known := pb.Kind_value["KIND_"+strings.ToUpper(kind)]; known {
			s.Kind = pb.Kind(number)
		} else if _, err := fmt.Sscan(kind, &s.Kind); err != nil {
			panic(err)
		}
		if err != nil {
			panic(err)
		}
		v.services = append(v.services, s)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // the host goes
		os.Exit(0)
	}()
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: pluginkit.Handshake(), GRPCServer: goplugin.DefaultGRPCServer,
		Plugins: goplugin.PluginSet{pluginkit.PluginName: v},
	})
	os.Exit(0)
}

type versioned struct {
	goplugin.NetRPCUnsupportedPlugin
	pb.UnimplementedPluginServiceServer

	services []*pb.ServiceInfo
}

func (v *versioned) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	pb.RegisterPluginServiceServer(s, v)
	doctor.RegisterServer(s, versionedDoctor{})
	classifier.RegisterServer(s, &classifier.Fake{})
	return nil
}

func (v *versioned) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

func (v *versioned) Describe(context.Context, *pb.DescribeRequest) (*pb.DescribeResponse, error) {
	return &pb.DescribeResponse{Name: "versioned", Version: "9.0.0", Services: v.services}, nil
}

func (v *versioned) Configure(context.Context, *pb.ConfigureRequest) (*pb.ConfigureResponse, error) {
	return &pb.ConfigureResponse{}, nil
}

// versionedDoctor answers each method.
type versionedDoctor struct{ doctor.ReadOnly }

func (versionedDoctor) Diagnose(context.Context, doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	return doctor.Found(doctor.Finding{Code: "version"}), nil
}

func (versionedDoctor) Repair(
	_ context.Context, _ doctor.RepairRequest, progress func(doctor.Progress),
) (doctor.RepairResult, error) {
	progress(doctor.Progress{Text: "working"})
	return doctor.RepairResult{Summary: "done"}, nil
}

func (versionedDoctor) Verify(context.Context, doctor.VerifyRequest) (doctor.Verification, error) {
	return doctor.Verification{Outcome: doctor.OutcomeHelped}, nil
}
