// Command doctor-versions is a plugin of another time: an old one, whose doctor speaks version 1, a new one that has dropped it, or one of a
// host to come. It knows nothing of the SDK of this tree: the handshake stands here as it was recorded, and the services are the generated
// ones, so that a change of either shows as a plugin that no longer works.
//
//	doctor-versions doctor=1-1 | doctor=2-2 | doctor=3-4 classifier=1-1 | launcher=2-3 ...
//
// Its doctor of version 1 finds odd weather and repairs nothing. That of version 2 writes a configuration in the place of a refused one, and
// says of it what stands in the file "outcome" of its directory.
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
	pb2 "github.com/gatehost/gatehost/shared/pb/pluginv1alpha2"
)

// mended is what version 2 writes.
const mended = "{\n  \"gateway\": {\"mode\": \"local\"},\n}\n"

func main() {
	v := &versions{}
	for _, word := range os.Args[1:] {
		kind, text, _ := strings.Cut(word, "=")
		s := &pb.ServiceInfo{Kind: pb.Kind(pb.Kind_value["KIND_"+strings.ToUpper(kind)])}
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
		for version := info.GetMinVersion(); version <= info.GetMaxVersion(); version++ {
			switch {
			case info.GetKind() == pb.Kind_KIND_DOCTOR && version == 1:
				pb.RegisterDoctorServiceServer(s, first{})
			case info.GetKind() == pb.Kind_KIND_DOCTOR && version == 2:
				pb2.RegisterDoctorServiceServer(s, second{})
			case info.GetKind() == pb.Kind_KIND_CLASSIFIER && version == 1:
				pb.RegisterClassifierServiceServer(s, reader{})
			}
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

// first is a doctor of version 1.
type first struct {
	pb.UnimplementedDoctorServiceServer
}

func (first) Diagnose(context.Context, *pb.DiagnoseRequest) (*pb.DiagnoseResponse, error) {
	return &pb.DiagnoseResponse{Findings: []*pb.Finding{{
		Code: "odd-weather", Severity: pb.Severity_SEVERITY_WARNING, Text: "asked in version 1",
	}}}, nil
}

// second is a doctor of version 2.
type second struct {
	pb2.UnimplementedDoctorServiceServer
}

// outcome is what the test wants to be said.
func outcome() string {
	text, _ := os.ReadFile("outcome")
	return strings.TrimSpace(string(text))
}

func wantFile(gw *pb.GatewayFacts) []*pb.EvidenceRequest {
	return []*pb.EvidenceRequest{{Id: "file", Want: &pb.EvidenceRequest_File{File: &pb.FileWant{Path: gw.GetConfigPath()}}}}
}

// Diagnose finds that a configuration is refused when the gateway said so; without its word, when the test wants it still to be there.
func (second) Diagnose(_ context.Context, r *pb2.DiagnoseRequest) (*pb2.DiagnoseResponse, error) {
	if refused := r.GetIncident().GetExit().GetCode() == 78; !refused && outcome() != "unknown, still there" {
		return &pb2.DiagnoseResponse{}, nil
	}
	if len(r.GetEvidence()) == 0 {
		return &pb2.DiagnoseResponse{Wants: wantFile(r.GetGateway())}, nil
	}
	return &pb2.DiagnoseResponse{Findings: []*pb.Finding{{
		Code: "config-invalid", Severity: pb.Severity_SEVERITY_ERROR, Text: "asked in version 2", Repairable: true,
		Data: []byte(r.GetEvidence()[0].GetSha256()),
	}}}, nil
}

func (second) Plan(_ context.Context, r *pb2.PlanRequest) (*pb2.PlanResponse, error) {
	return &pb2.PlanResponse{Plan: &pb.RepairPlan{Title: "write one that works", Steps: []*pb.Step{{
		Title: "write it",
		Action: &pb.Step_WriteFile{WriteFile: &pb.WriteFileStep{
			Path: r.GetGateway().GetConfigPath(), Content: []byte(mended), ExpectedSha256: string(r.GetFinding().GetData()),
		}},
	}}}}, nil
}

// Verify asks for the file, which must be another one now.
func (second) Verify(_ context.Context, r *pb2.VerifyRequest) (*pb2.VerifyResponse, error) {
	if len(r.GetEvidence()) == 0 {
		return &pb2.VerifyResponse{Wants: wantFile(r.GetGateway())}, nil
	}
	if r.GetEvidence()[0].GetSha256() == string(r.GetFinding().GetData()) {
		return nil, grpcstatus.Error(codes.FailedPrecondition, "nothing was written")
	}
	said := map[string]pb2.Outcome{
		"helped": pb2.Outcome_OUTCOME_HELPED, "not helped": pb2.Outcome_OUTCOME_NOT_HELPED,
	}
	return &pb2.VerifyResponse{Outcome: said[outcome()], Text: "version 2 says " + outcome(), Hint: "write a better one"}, nil
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
			out.Verdicts = append(out.Verdicts, &pb.Verdict{Seq: l.GetSeq(), Level: pb.Level_LEVEL_INFO, RuleId: "of-another-time"})
		}
		if err := stream.Send(out); err != nil {
			return err
		}
	}
}
