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
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

// serveVersions serves what is announced ("doctor=1-2", "classifier=1-1", "9=1-1" for a kind of a newer contract), as other releases of
// the SDK would: each version of a service only when it is in a range.
func serveVersions(announced ...string) {
	v := &versioned{}
	for _, word := range announced {
		kind, versions, _ := strings.Cut(word, "=")
		s := &pb.ServiceInfo{}
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
	if v.speaks(pb.Kind_KIND_DOCTOR, 1) {
		doctor.RegisterServer(s, version(1))
	}
	if v.speaks(pb.Kind_KIND_DOCTOR, 2) {
		doctor.RegisterServer2(s, version(2))
	}
	if v.speaks(pb.Kind_KIND_CLASSIFIER, 1) {
		classifier.RegisterServer(s, &classifier.Fake{})
	}
	return nil
}

func (v *versioned) speaks(kind pb.Kind, version uint32) bool {
	for _, s := range v.services {
		if s.GetKind() == kind && s.GetMinVersion() <= version && version <= s.GetMaxVersion() {
			return true
		}
	}
	return false
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

// version is a doctor that says in which version it was asked.
type version int

func (v version) finding() doctor.Finding {
	return doctor.Finding{Code: "version", Text: fmt.Sprint(int(v))}
}

func (v version) Diagnose(context.Context, doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	return doctor.Diagnosis{Findings: []doctor.Finding{v.finding()}}, nil
}

func (v version) Plan(context.Context, plugin.GatewayFacts, doctor.Finding) (*doctor.Plan, error) {
	return &doctor.Plan{Title: v.finding().Text, Steps: []doctor.Step{{Exec: &doctor.ExecStep{Argv: []string{"x"}}}}}, nil
}

func (v version) Repair(_ context.Context, _ doctor.RepairRequest, progress func(doctor.Progress)) (doctor.RepairResult, error) {
	progress(doctor.Progress{Text: v.finding().Text})
	return doctor.RepairResult{Summary: v.finding().Text}, nil
}

func (v version) Verify(context.Context, doctor.VerifyRequest) (doctor.Verification, error) {
	return doctor.Verification{Outcome: doctor.OutcomeHelped, Text: v.finding().Text}, nil
}
