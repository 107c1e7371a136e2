//go:build unix

package pluginhost_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/plugin"
)

// newProbe prepares to start the test plugin.
func newProbe(t *testing.T, spec pluginhost.Spec) *pluginhost.Probe {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p, err := pluginhost.NewProbe(pluginhost.Options{
		Log: hclog.NewNullLogger(), Version: "test", PluginDir: pluginDir, DataDir: filepath.Join(dir, "data"),
		RunDir:     filepath.Join(dir, "run"),
		RuntimeDir: filepath.Join(dir, "rt"), Timing: quick(),
	}, spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func probed(t *testing.T, p *pluginhost.Probe) *pluginhost.Probed {
	t.Helper()
	got, err := p.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(got.Close)
	return got
}

func closed(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("%s: waited in vain", what)
	}
}

func TestProbedPluginIsStartedAsAHostDoes(t *testing.T) {
	for name, shut := range map[string]*sandbox.Spec{"as it is": nil, "sandboxed": {}} {
		t.Run(name, func(t *testing.T) {
			if shut != nil && !sandbox.Supported().OK() {
				return // there is no sandbox here
			}
			spec := testPlugin("launches")
			spec.Sandbox, spec.Config, spec.Grants = shut, []byte(`{"level": 2}`),
				[]string{"gateway-config", "gateway-token"}
			p := newProbe(t, spec)
			info, err := p.Describe(t.Context())
			if err != nil || info.Name != "test-plugin" {
				t.Fatalf("info = %+v, %v", info, err)
			}
			one, another := probed(t, p), probed(t, p)
			if one.PID() == another.PID() || one.Mark() == another.Mark() || one.SocketDir() == another.SocketDir() {
				t.Errorf("two processes have pids %d and %d, marks %s and %s", one.PID(), another.PID(), one.Mark(),
					another.Mark())
			}
			asked := one.Asked()
			if string(asked.Config) != `{"level": 2}` || !slices.Equal(asked.Grants, []string{"gateway-config"}) ||
				asked.Directories.Data != p.DataDir() ||
				asked.Directories.Run == "" {
				t.Errorf("configured with %+v", asked)
			}
			d, err := doctor.NewClient(one.Conn()).Diagnose(t.Context(),
				doctor.DiagnoseRequest{Incident: &doctor.Incident{ErrorCode: "environment"}})
			if err != nil || !strings.Contains(string(d.Findings[0].Data), one.Mark()) {
				t.Errorf("its environment has no mark: %v", err)
			}
			one.Kill()
			closed(t, one.Done(), "kill -9")
			another.CloseStdin()
			closed(t, another.Done(), "the host goes")
			closed(t, another.Drained(), "its pipes")
		})
	}
}

func TestProbedPluginThatDoesNotStartSaysWhy(t *testing.T) {
	spec := testPlugin()
	spec.Config = []byte(`{"levle": 1}`)
	if _, err := newProbe(t, spec).Start(t.Context()); !pluginhost.IsTableRefused(err) ||
		!strings.Contains(err.Error(), "levle") {
		t.Errorf("error = %v", err)
	}
	if _, err := newProbe(t, testPlugin("garbage")).Start(t.Context()); err == nil || pluginhost.IsTableRefused(err) ||
		!strings.Contains(err.Error(), "handshake") {
		t.Errorf("error = %v", err)
	}
}

func TestProbeSeesWhatComesOnStdout(t *testing.T) {
	p := probed(t, newProbe(t, testPlugin()))
	if _, err := doctor.NewClient(p.Conn()).Diagnose(t.Context(),
		doctor.DiagnoseRequest{Incident: &doctor.Incident{ErrorCode: "talks"}}); err != nil {
		t.Fatal(err)
	}
	// it comes by a stream of its own
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if slices.Contains(p.Printed(), "planted words on stdout") {
			return
		}
	}
	t.Errorf("printed = %q", p.Printed())
}

func TestProbeSeesWhoHoldsThePipesOfADeadPlugin(t *testing.T) {
	probe := newProbe(t, testPlugin("holds-pipes"))
	p := probed(t, probe)
	p.CloseStdin()
	closed(t, p.Done(), "the host goes")
	select {
	case <-p.Drained():
		t.Fatal("its pipes are said to be closed while a child holds them")
	case <-time.After(300 * time.Millisecond): // the absence of something can only be waited for
	}
	if err := os.WriteFile(filepath.Join(probe.DataDir(), "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	closed(t, p.Drained(), "the child ends")
}

// TestOpenStreamDoesNotHoldThePluginsEndBack: a stream that waits for the host's next message does not see the end of
// its context.
func TestOpenStreamDoesNotHoldThePluginsEndBack(t *testing.T) {
	probe := newProbe(t, testPlugin("leaves-word"))
	p := probed(t, probe)
	stream, err := classifier.NewClient(p.Conn()).Open(t.Context(), plugin.GatewayFacts{Name: "main"}, "launch")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Classify(t.Context(),
		[]classifier.NumberedLine{{Seq: 1, Line: plugin.Line{Text: "x"}}}); err != nil {
		t.Fatal(err)
	}
	p.CloseStdin()
	closed(t, p.Done(), "the host goes")
	if _, err := os.Stat(filepath.Join(probe.DataDir(), "stream-closed")); err != nil {
		t.Errorf("it ended with the stream open: %v", err)
	}
}
