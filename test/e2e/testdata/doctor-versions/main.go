// Command doctor-versions is a plugin of another release: one whose doctor has Verify or has not, or one of a later
// host. It does not use the SDK of this tree: it has the handshake as it was recorded, and the generated services, so
// that a change of either shows as a plugin that no longer works.
//
//	doctor-versions doctor=1-1 | doctor=1-1,verify | doctor=2-3 classifier=1-1 | launcher=2-3 ...
//
// Its doctor without Verify finds odd weather and repairs nothing. The one with it writes a configuration in the place
// of a refused one, and says of it what the file "outcome" of its directory contains.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
)

// repaired is what the doctor with Verify writes.
const repaired = "{\n  \"gateway\": {\"mode\": \"local\"},\n}\n"

func main() {
	v := &versions{}
	for _, word := range os.Args[1:] {
		kind, text, _ := strings.Cut(word, "=")
		text, capability, announced := strings.Cut(text, ",")
		s := &pb.ServiceInfo{Kind: pb.Kind(pb.Kind_value["KIND_"+strings.ToUpper(kind)])}
		if announced {
			s.Capabilities = []string{capability}
		}
		if _, err := fmt.Sscanf(text, "%d-%d", &s.MinVersion, &s.MaxVersion); err != nil {
			fmt.Fprintln(os.Stderr, word, err)
			os.Exit(2)
		}
		v.services = append(v.services, s)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // the host goes
		os.Exit(0)
	}()
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion: 1, MagicCookieKey: "GATEHOST_PLUGIN", MagicCookieValue: "7b1d9f3a-gatehost-plugin-v1",
		},
		GRPCServer: goplugin.DefaultGRPCServer,
		Plugins:    goplugin.PluginSet{"gatehost": v},
	})
}

type versions struct {
	goplugin.NetRPCUnsupportedPlugin
	pb.UnimplementedPluginServiceServer

	services []*pb.ServiceInfo
}

func (v *versions) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	pb.RegisterPluginServiceServer(s, v)
	for _, info := range v.services {
		switch {
		case info.GetMinVersion() > 1: // a service of which this tree knows nothing
		case info.GetKind() == pb.Kind_KIND_DOCTOR && len(info.GetCapabilities()) == 0:
			pb.RegisterDoctorServiceServer(s, plainDoctor{})
		case info.GetKind() == pb.Kind_KIND_DOCTOR:
			pb.RegisterDoctorServiceServer(s, verifyingDoctor{})
		case info.GetKind() == pb.Kind_KIND_CLASSIFIER:
			pb.RegisterClassifierServiceServer(s, reader{})
		}
	}
	return nil
}

func (v *versions) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

func (v *versions) Describe(context.Context, *pb.DescribeRequest) (*pb.DescribeResponse, error) {
	return &pb.DescribeResponse{Name: "doctor-versions", Version: "7.0.0", Services: v.services}, nil
}

func (v *versions) Configure(context.Context, *pb.ConfigureRequest) (*pb.ConfigureResponse, error) {
	return &pb.ConfigureResponse{}, nil
}

// plainDoctor has no Verify.
type plainDoctor struct {
	pb.UnimplementedDoctorServiceServer
}

func (plainDoctor) Diagnose(context.Context, *pb.DiagnoseRequest) (*pb.DiagnoseResponse, error) {
	return &pb.DiagnoseResponse{Findings: []*pb.Finding{{
		Code: "odd-weather", Severity: pb.Severity_SEVERITY_WARNING, Text: "it is odd",
	}}}, nil
}

// verifyingDoctor has Verify.
type verifyingDoctor struct {
	pb.UnimplementedDoctorServiceServer
}

// outcome is what the test wants to be said.
func outcome() string {
	text, _ := os.ReadFile("outcome")
	return strings.TrimSpace(string(text))
}

func wantFile(gw *pb.GatewayFacts) []*pb.EvidenceRequest {
	return []*pb.EvidenceRequest{
		{Id: "file", Want: &pb.EvidenceRequest_File{File: &pb.FileWant{Path: gw.GetConfigPath()}}},
	}
}

// Diagnose finds that a configuration is refused when the gateway said so; without its word, when the test wants it
// still to be there.
func (verifyingDoctor) Diagnose(_ context.Context, r *pb.DiagnoseRequest) (*pb.DiagnoseResponse, error) {
	if refused := r.GetIncident().GetExit().GetCode() == 78; !refused && outcome() != "unknown, still there" {
		return &pb.DiagnoseResponse{}, nil
	}
	if len(r.GetEvidence()) == 0 {
		return &pb.DiagnoseResponse{Wants: wantFile(r.GetGateway())}, nil
	}
	return &pb.DiagnoseResponse{Findings: []*pb.Finding{{
		Code: "config-invalid", Severity: pb.Severity_SEVERITY_ERROR, Text: "the file is refused", Repairable: true,
		Data: []byte(r.GetEvidence()[0].GetSha256()),
	}}}, nil
}

func (verifyingDoctor) Plan(_ context.Context, r *pb.PlanRequest) (*pb.PlanResponse, error) {
	return &pb.PlanResponse{Plan: &pb.RepairPlan{Title: "write one that works", Steps: []*pb.Step{{
		Title: "write it",
		Action: &pb.Step_WriteFile{WriteFile: &pb.WriteFileStep{
			Path: r.GetGateway().GetConfigPath(), Content: []byte(repaired), ExpectedSha256: string(r.GetFinding().GetData()),
		}},
	}}}}, nil
}

// Verify asks for the file, which must be another one now.
func (verifyingDoctor) Verify(_ context.Context, r *pb.VerifyRequest) (*pb.VerifyResponse, error) {
	if len(r.GetEvidence()) == 0 {
		return &pb.VerifyResponse{Wants: wantFile(r.GetGateway())}, nil
	}
	if r.GetEvidence()[0].GetSha256() == string(r.GetFinding().GetData()) {
		return nil, grpcstatus.Error(codes.FailedPrecondition, "nothing was written")
	}
	said := map[string]pb.Outcome{
		"helped": pb.Outcome_OUTCOME_HELPED, "not helped": pb.Outcome_OUTCOME_NOT_HELPED,
	}
	return &pb.VerifyResponse{Outcome: said[outcome()], Text: "the doctor says " + outcome(), Hint: "write a better one"},
		nil
}

// reader finds all lines quiet.
type reader struct {
	pb.UnimplementedClassifierServiceServer
}

func (reader) Classify(stream grpc.BidiStreamingServer[pb.ClassifyRequest, pb.ClassifyResponse]) error {
	for {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		out := &pb.ClassifyResponse{}
		for _, l := range r.GetLines() {
			out.Verdicts = append(out.Verdicts,
				&pb.Verdict{Seq: l.GetSeq(), Level: pb.Level_LEVEL_INFO, RuleId: "of-another-time"})
		}
		if err := stream.Send(out); err != nil {
			return err
		}
	}
}
