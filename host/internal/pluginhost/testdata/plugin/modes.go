package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

// await waits until a file exists.
func await(ctx context.Context, file string) {
	for ctx.Err() == nil {
		if _, err := os.Stat(file); err == nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

var grown [][]byte

// grow keeps this much memory, and touches it.
func grow(n int) {
	block := make([]byte, n)
	for i := 0; i < n; i += 4096 {
		block[i] = 1
	}
	grown = append(grown, block)
}

// inForce is the configuration and the grants, in words; nil before the first Configure.
var inForce atomic.Value

// take implements Configure. Some levels are refused, or worse: a process may be reconfigured while it serves.
func take(mode string, req plugin.ConfigureRequest) ([]plugin.Diagnostic, error) {
	type table struct {
		Level int `json:"level"`
	}
	t, diagnostics := pluginkit.DecodeConfig(req.Config, table{})
	_ = first("configured")
	switch t.Level {
	case 13:
		diagnostics = append(diagnostics, plugin.Diagnostic{Severity: plugin.SeverityError, Path: "level",
			Message: "13 brings bad luck", Hint: "take 14"})
	case 66: // a second time only
		if inForce.Load() != nil {
			return nil, fault.New(fault.Unavailable, "the database is away")
		}
	case 77:
		if inForce.Load() != nil {
			os.Exit(7)
		}
	case 88:
		return nil, fault.New(fault.Unavailable, "the database is away for good")
	case 99: // the first time while another process serves; then when the test allows it
		_ = first("waiting")
		await(context.Background(), "go")
	}
	if err := configure(mode); err != nil || len(diagnostics) > 0 {
		return diagnostics, err
	}
	inForce.Store(fmt.Sprint(t.Level, " ", req.Grants))
	return nil, nil
}

// configure does what a mode does in Configure.
func configure(mode string) error {
	switch mode {
	case "dies-in-configure":
		pluginkit.Logger("test").Error("no configuration for me", "why", "none")
		os.Exit(4)
	case "hangs-in-configure":
		time.Sleep(time.Hour)
	case "waits-in-configure":
		_ = first("waiting")
		await(context.Background(), "go")
	case "fails-in-configure":
		return fault.New(fault.Unavailable, "the database is away").WithHint("wait for it")
	}
	return nil
}

// misbehave sets up a mode of this file; false means another mode.
func misbehave(mode string, p *pluginkit.Plugin) bool {
	switch mode {
	case "floods-before":
		for i := range 30_000 {
			fmt.Fprintln(os.Stderr, "flood", i)
		}
	case "long-line":
		chunk := []byte(strings.Repeat("x", 1<<20))
		for range 64 {
			_, _ = os.Stderr.Write(chunk)
		}
		fmt.Fprintln(os.Stderr)
	case "holds", "forgets", "other-pid", "says-ended", "dies-in-recover", "hangs-in-list":
		p.Launcher = &holder{mode: mode}
	case "lies":
		p.Launcher = &liar{}
	case "leaves-word": // that its stream has ended
		p.Classifier = wordy{}
	case "tells-its-secret":
		tellSecret()
	case "records-calls":
		recordCalls(*p)
	case "holds-pipes": // by a child that goes on
		holdPipes()
	case "misjudges":
		p.Classifier = misjudge{}
	case "unbounded": // it has no limit that keeps it from sending what is too large
		goplugin.Serve(&goplugin.ServeConfig{
			HandshakeConfig: pluginkit.Handshake(), GRPCServer: goplugin.DefaultGRPCServer,
			Plugins: goplugin.PluginSet{pluginkit.PluginName: &unbounded{p: *p}},
		})
		os.Exit(0)
	default:
		return false
	}
	return true
}

type unbounded struct {
	goplugin.NetRPCUnsupportedPlugin
	p pluginkit.Plugin
}

func (u *unbounded) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	pluginkit.Register(s, u.p)
	return nil
}

func (u *unbounded) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

// holder is a launcher with four instances: one lives, one has ended, one ends and one is released while they are
// examined. Each process of it knows the same; mode says what it does wrong.
type holder struct {
	launcher.Fake
	mode string
}

func live(id string) launcher.Instance {
	return launcher.Instance{LaunchID: id, Gateway: "main", Phase: launcher.PhaseRunning, PID: 4711, StartTime: "1"}
}

func ended(id string) launcher.Instance {
	return launcher.Instance{LaunchID: id, Gateway: "main", Phase: launcher.PhaseEnded, PID: 4711, StartTime: "1",
		Exit: &plugin.Exit{Known: true, At: time.Now()}}
}

func (h *holder) List(ctx context.Context, _ string) (launcher.Listing, error) {
	if h.mode == "hangs-in-list" {
		<-ctx.Done()
	}
	all := []launcher.Instance{live("lives"), ended("ended"), live("ends"), live("goes")}
	if _, err := os.Stat("late-launch"); err == nil {
		all = append(all, live("late"))
	}
	return launcher.Listing{Instances: all}, nil
}

func (h *holder) Recover(_ context.Context, id string) (launcher.Instance, error) {
	_ = first("recovered-" + id)
	switch {
	case h.mode == "dies-in-recover":
		pluginkit.Logger("test").Error("no launch for me")
		os.Exit(5)
	case h.mode == "forgets", id == "goes":
		return launcher.Instance{}, fault.New(fault.NotFound, "there is no launch "+id)
	case h.mode == "says-ended", id == "ends":
		return ended(id), nil
	case h.mode == "other-pid":
		i := live(id)
		i.PID = 4712
		return i, nil
	}
	return live(id), nil
}

func (h *holder) Inspect(ctx context.Context, id string) (launcher.Inspection, error) {
	i, err := (&holder{}).Recover(ctx, id)
	return launcher.Inspection{Instance: i}, err
}

// Output gives the numbers up to 1500, each its own cursor, a few every millisecond.
func (h *holder) Output(ctx context.Context, req launcher.OutputRequest, sink func(launcher.OutputItem) error) error {
	for n := req.Cursor + 1; n <= 1500; n++ {
		if err := sink(&launcher.LineBatch{Lines: []plugin.Line{{Cursor: n, Stream: plugin.Stdout,
			Text: fmt.Sprint(n)}}}); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if n%3 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	return sink(&launcher.End{EndCursor: 1500, Exit: plugin.Exit{Known: true}})
}

// Exec ends when the test allows it, and says which process ran it.
func (h *holder) Exec(
	ctx context.Context, _ launcher.ExecRequest, sink func(plugin.Line) error,
) (launcher.ExecResult, error) {
	_ = first("exec")
	await(ctx, "go")
	if err := sink(plugin.Line{Text: fmt.Sprint(os.Getpid())}); err != nil {
		return launcher.ExecResult{}, err
	}
	return launcher.ExecResult{Exit: plugin.Exit{Known: true}}, ctx.Err()
}

// Stop uses all of its grace, and some time to sweep.
func (h *holder) Stop(_ context.Context, _ string, grace time.Duration) (launcher.Stopped, error) {
	time.Sleep(grace + 600*time.Millisecond)
	return launcher.Stopped{Exit: plugin.Exit{Known: true}, Killed: true}, nil
}

// liar is a launcher whose answers violate the contract; the launch id says how.
type liar struct{ launcher.Fake }

func (*liar) List(_ context.Context, gateway string) (launcher.Listing, error) {
	if gateway == "many" {
		return launcher.Listing{Instances: make([]launcher.Instance, 5000)}, nil
	}
	return launcher.Listing{Instances: []launcher.Instance{live("../../etc")}}, nil
}

func (*liar) Recover(_ context.Context, _ string) (launcher.Instance, error) {
	return live("another"), nil
}

func (*liar) Inspect(_ context.Context, id string) (launcher.Inspection, error) {
	i := live(id)
	switch id {
	case "negative-pid":
		i.PID = -5
	case "no-pid":
		i.PID = 0
	case "odd-phase":
		i.Phase = 99
	case "no-exit":
		i.Phase = launcher.PhaseEnded
	}
	return launcher.Inspection{Instance: i, Processes: -3}, nil
}

// Output goes back, says nothing, or ends without an exit.
func (*liar) Output(_ context.Context, req launcher.OutputRequest, sink func(launcher.OutputItem) error) error {
	line := func(cursor uint64) *launcher.LineBatch {
		return &launcher.LineBatch{Lines: []plugin.Line{{Cursor: cursor, Stream: plugin.Stdout, Text: "x"}}}
	}
	switch req.LaunchID {
	case "goes-back":
		if err := sink(line(5)); err != nil {
			return err
		}
		return sink(line(5))
	case "no-end":
		return nil
	}
	return sink(&launcher.Gap{From: 9, To: 3})
}

// misjudge answers about other lines than those that it was asked about.
type misjudge struct{}

func (misjudge) Open(context.Context, plugin.GatewayFacts, string) (classifier.Stream, error) {
	return misjudge{}, nil
}

func (misjudge) Classify(_ context.Context, lines []classifier.NumberedLine) ([]classifier.Verdict, error) {
	out := make([]classifier.Verdict, len(lines))
	for i, l := range lines {
		out[i] = classifier.Verdict{Seq: l.Seq, Level: 77, Text: "a\xff"}
		switch l.Line.Text {
		case "nonsense":
			out[i].Seq += 1000
		case "slow": // whatever its caller has decided meanwhile
			time.Sleep(time.Second)
		case "quick":
			out[i].Text = "quick"
		}
	}
	return out, nil
}

func (misjudge) Close() error { return nil }

// wordy says in a file that a stream of its was closed.
type wordy struct{ misjudge }

func (w wordy) Open(context.Context, plugin.GatewayFacts, string) (classifier.Stream, error) {
	return w, nil
}

func (wordy) Close() error { return os.WriteFile("stream-closed", nil, 0o600) }

// holdPipes starts a child that holds stdout and stderr until the file "go" exists, or the directory does not.
func holdPipes() {
	cmd := exec.Command("/bin/sh", "-c", "while [ -d . ] && [ ! -e go ]; do sleep 0.05; done")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		panic(err)
	}
}
