//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

// untrusted does what a host must not take from a plugin; it returns when the argument means another way to misbehave.
func untrusted() {
	if code, ok := strings.CutPrefix(how(), "telltale:"); ok {
		said, err := hex.DecodeString(code)
		if err != nil {
			panic(err)
		}
		for i := range said {
			said[i] ^= 0x55 // so that the argument itself gives nothing away
		}
		pluginkit.Serve(pluginkit.Plugin{
			Name: "bad-plugin", Version: "0.1.0", Doctor: telltale{said: string(said)},
			Classifier: telltale{said: string(said)},
		})
		os.Exit(0)
	}
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
	case "outside", "greedy", "nosy", "silent-nosy", "commander", "nul", "reporter", "writer":
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
	switch {
	case how() == "commander" && len(req.Evidence) == 0:
		return doctor.Diagnosis{Wants: commands(req.Gateway)}, nil
	case how() == "commander":
		d, err := says("%s", strings.Join(available(req.Evidence), " "))
		d.Findings[0].Repairable = true
		return d, err
	case how() == "nul":
		argv := append(slices.Clone(req.Gateway.Command), "config", "validate\x00--fix")
		return doctor.Diagnosis{Wants: []doctor.EvidenceRequest{{ID: "nul", Argv: argv}}}, nil
	case how() == "reporter" && len(req.Evidence) == 0:
		return doctor.Diagnosis{Wants: []doctor.EvidenceRequest{
			{ID: "validate", Argv: append(slices.Clone(req.Gateway.Command), "config", "validate")},
		}}, nil
	case how() == "reporter":
		e := req.Evidence[0]
		return says("%s%s%s", e.Problem, e.Stdout, e.Stderr)
	case how() == "writer" && req.Incident != nil:
		return doctor.Diagnosis{Findings: []doctor.Finding{{
			Code: "writer", Text: "planted: something is broken", Severity: plugin.SeverityError, Repairable: true,
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

// commands asks for commands that no doctor may run, and for those that every doctor may run.
func commands(gw plugin.GatewayFacts) []doctor.EvidenceRequest {
	own := func(args ...string) []string { return append(slices.Clone(gw.Command), args...) }
	wrapper := filepath.Join(filepath.Dir(gw.ConfigPath), "wrapper")
	var out []doctor.EvidenceRequest
	for id, argv := range map[string][]string{
		"install":  own("plugins", "install", "--force", "--link", gw.StateDir),
		"wrapper":  append([]string{wrapper}, own("config", "validate")...),
		"other":    {wrapper, "config", "validate"},
		"more":     own("config", "validate", "--json", "--fix"),
		"order":    own("validate", "config", "--json"),
		"prefix":   own("--json", "config", "validate"),
		"suffix":   own("config", "validate", "--json="+wrapper),
		"relative": append([]string{"./" + filepath.Base(gw.Command[0])}, "config", "validate"),
		"dots":     append([]string{filepath.Dir(gw.Command[0]) + "/./" + filepath.Base(gw.Command[0])}, "config", "validate"),
		"joined":   own("config validate"),
		"step":     own("doctor", "--fix", "--yes", "--non-interactive"),
		"good":     own("config", "validate", "--json"),
		"lint":     own("doctor", "--lint", "--json"),
		"plain":    own("config", "validate"),
		"version":  own("--version"),
	} {
		out = append(out, doctor.EvidenceRequest{ID: id, Argv: argv})
	}
	return out
}

func available(list []doctor.Evidence) []string {
	var out []string
	for _, e := range list {
		if e.Available {
			out = append(out, e.ID)
		}
	}
	slices.Sort(out)
	return append(out, fmt.Sprint("of ", len(list)))
}

// Plan writes where the gateway has nothing, or runs what it may not.
func (crafty) Plan(_ context.Context, gw plugin.GatewayFacts, _ doctor.Finding) (*doctor.Plan, error) {
	switch how() {
	case "commander":
		return &doctor.Plan{Title: "install my plugin", Steps: []doctor.Step{
			doctor.Command(gw, "install", time.Minute, "plugins", "install", "--link", gw.StateDir),
		}}, nil
	case "writer":
		return &doctor.Plan{Title: "tidy up", Steps: []doctor.Step{{
			Title: "write", WriteFile: &doctor.WriteFileStep{
				Path: filepath.Join(gw.StateDir, "index.js"), Content: []byte("planted"),
			},
		}}}, nil
	}
	return &doctor.Plan{Title: "repair it", Steps: []doctor.Step{{
		Title: "write my key", WriteFile: &doctor.WriteFileStep{
			Path: filepath.Join(os.Getenv("HOME"), ".ssh", "authorized_keys"), Content: []byte("planted"),
		},
	}}}, nil
}

// telltale is a doctor that says what its argument "tells:TEXT,..." names, wherever a plugin can say something.
type telltale struct {
	bad
	said string
}

func (t telltale) Diagnose(context.Context, doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	t.log()
	return doctor.Diagnosis{Findings: []doctor.Finding{{
		Code: "telltale", Text: t.said, Hint: t.said, Severity: plugin.SeverityError, Repairable: true,
		Evidence: []string{"planted", t.said}, ConfigPath: t.said,
	}}}, nil
}

func (t telltale) Plan(context.Context, plugin.GatewayFacts, doctor.Finding) (*doctor.Plan, error) {
	return &doctor.Plan{Title: t.said, Steps: []doctor.Step{{
		Title: t.said, Delegate: &doctor.DelegateStep{ID: "tell", Timeout: time.Second},
	}}}, nil
}

func (t telltale) Repair(_ context.Context, _ doctor.RepairRequest, progress func(doctor.Progress)) (
	doctor.RepairResult, error,
) {
	progress(doctor.Progress{Text: t.said})
	return doctor.RepairResult{}, fault.New(fault.FailedPrecondition, t.said).WithHint(t.said)
}

// log writes by hclog's JSON, as plain lines, and on stdout.
func (t telltale) log() {
	line, _ := json.Marshal(map[string]string{"@level": "warn", "@message": t.said, "apiKey": "planted-key", "line": t.said})
	fmt.Fprintf(os.Stderr, "%s\n%s\n", line, t.said)
	fmt.Println(t.said)
}

func (t telltale) Open(context.Context, plugin.GatewayFacts, string) (classifier.Stream, error) {
	return t, nil
}

// Classify puts its words in the place of the gateway's.
func (t telltale) Classify(_ context.Context, lines []classifier.NumberedLine) ([]classifier.Verdict, error) {
	out := make([]classifier.Verdict, len(lines))
	for i, l := range lines {
		out[i] = classifier.Verdict{
			Seq: l.Seq, Level: classifier.LevelError, RuleID: t.said, Text: t.said, Tags: []string{t.said},
			Stage: &classifier.Stage{Name: t.said, DurationMs: 1},
		}
	}
	return out, nil
}
