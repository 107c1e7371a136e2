package httpapi_test

import (
	"context"
	"encoding/json"
	"iter"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/httpapi"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

// roles are programs that this test binary can be instead, by the variable that chooses them.
var roles = map[string]func(argument string) int{}

func TestMain(m *testing.M) {
	for variable, role := range roles {
		if argument := os.Getenv(variable); argument != "" {
			os.Exit(role(argument))
		}
	}
	goleak.VerifyTestMain(m)
}

// patience is a deadline that only a hang reaches.
const patience = 20 * time.Second

// gateways is a host with one gateway, "main".
type gateways struct {
	DoBlocks chan struct{} // Do waits for this to be closed
	DoErr    error
	DoPanics bool
	RPCFunc  func(ctx context.Context, req control.RPCRequest) (json.RawMessage, error)

	mu       sync.Mutex
	commands []control.Command
	ended    int // commands whose Do came to its own end
}

func (g *gateways) Status() control.Status {
	main, _ := g.Gateway("main")
	return control.Status{Host: control.HostStatus{Version: "1.2.3", PID: 42}, Gateways: []control.Gateway{main}}
}

func (g *gateways) Gateway(name string) (control.Gateway, bool) {
	return control.Gateway{Name: "main", State: control.StateRunning, Owner: "owned", Port: 18789}, name == "main"
}

func (g *gateways) Do(ctx context.Context, _ string, cmd control.Command) (control.Outcome, error) {
	g.mu.Lock()
	g.commands = append(g.commands, cmd)
	g.mu.Unlock()
	if g.DoPanics {
		panic("as told")
	}
	if g.DoBlocks != nil {
		select {
		case <-g.DoBlocks:
		case <-ctx.Done():
			return control.Outcome{}, context.Cause(ctx)
		}
	}
	g.mu.Lock()
	g.ended++
	g.mu.Unlock()
	return control.Outcome{Outcome: control.OutcomeApplied}, g.DoErr
}

func (g *gateways) counts() (given, ended int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.commands), g.ended
}

func (g *gateways) RPC(ctx context.Context, _ string, req control.RPCRequest) (json.RawMessage, error) {
	return g.RPCFunc(ctx, req)
}

type output struct{ lines []control.LogLine }

func (o output) Logs(ctx context.Context, _ string, q control.LogsQuery) iter.Seq2[control.LogLine, error] {
	return func(yield func(control.LogLine, error) bool) {
		for _, l := range o.lines {
			if !yield(l, nil) {
				return
			}
		}
		if q.Follow {
			<-ctx.Done()
			yield(control.LogLine{}, context.Cause(ctx))
		}
	}
}

type doctors struct {
	goOn chan struct{} // between progress and result
	done chan struct{} // closed when the work came to its end
}

func (d doctors) Doctor(_ context.Context, _ string, req control.DoctorRequest) iter.Seq2[control.DoctorMessage,
	error] {
	return func(yield func(control.DoctorMessage, error) bool) {
		if req.Action == control.DoctorUndo {
			yield(control.DoctorMessage{},
				fault.New(fault.FailedPrecondition, "nothing to undo").WithHint("repair first"))
			return
		}
		if !yield(control.DoctorMessage{Type: control.DoctorProgressMessage, Progress: "looking"}, nil) {
			return
		}
		if d.goOn != nil {
			<-d.goOn
		}
		if req.DryRun {
			yield(control.DoctorMessage{}, fault.New(fault.PluginGone, "the doctor died"))
			return
		}
		if yield(control.DoctorMessage{
			Type:   control.DoctorResultMessage,
			Result: &control.DoctorResult{Outcome: "repaired"},
		}, nil) && d.done != nil {
			close(d.done)
		}
	}
}

type plugins struct{ restarted []string }

func (p *plugins) Plugins() []control.Plugin {
	return []control.Plugin{{Name: "doctor", State: "running", Restarts: len(p.restarted)}}
}

func (p *plugins) Restart(_ context.Context, name string) error {
	p.restarted = append(p.restarted, name)
	return nil
}

// site is a running server.
type site struct {
	gateways *gateways
	hub      *events.Hub
	socket   string
	client   *control.Client
	stop     func() error // ends the server and waits
}

func serve(t *testing.T, g *gateways, change func(*httpapi.Options)) *site {
	t.Helper()
	dir := shortDir(t)
	s := &site{gateways: g, hub: events.NewHub(events.Options{}), socket: filepath.Join(dir, "run", "host.sock")}
	o := httpapi.Options{
		Gateways: g, Events: s.hub, Plugins: &plugins{}, Log: hclog.NewNullLogger(), Version: "1.2.3",
		Drain: 200 * time.Millisecond,
		At:    func(time.Time) uint64 { return 0 }, IsPlugin: noPlugin,
	}
	if change != nil {
		change(&o)
	}
	l, err := httpapi.Listen(s.socket)
	if err != nil {
		t.Fatal(err)
	}
	s.client = control.New(s.socket)
	s.stop = start(t, httpapi.New(o), l)
	t.Cleanup(s.client.Close)
	return s
}

// noPlugin says that no caller is a plugin.
func noPlugin(int, int) bool { return false }

func start(t *testing.T, srv *httpapi.Server, l net.Listener) func() error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1) // 1: the server does not wait for the test
	go func() { done <- srv.Serve(ctx, l) }()
	stop := sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			t.Error("the server does not end")
			return nil
		}
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return stop
}

// shortDir is for sockets: t.TempDir is too long for them.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh") //nolint:usetesting // short: sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func timeout(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

func nullLog() hclog.Logger { return hclog.NewNullLogger() }
