package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
	"github.com/gatehost/gatehost/shared/pluginkit/plugintest"
)

// TB is the part of *testing.T that is needed.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	TempDir() string
	Context() context.Context
}

// Setting changes how a plugin is tried in its own test.
type Setting func(*localOpener, *Options)

// Table gives the plugin a table: a JSON object.
func Table(json string) Setting {
	return func(l *localOpener, _ *Options) { l.config = []byte(json) }
}

// Incidents are tried besides the built-in ones.
func Incidents(list ...Incident) Setting {
	return func(_ *localOpener, o *Options) { o.Incidents = append(o.Incidents, list...) }
}

// Doctor checks what every plugin, and what a doctor has to promise, and fails t for each promise that is not kept.
// open makes the plugin as its main does; it is called for each process that there would be.
func Doctor(t TB, open func() pluginkit.Plugin, settings ...Setting) {
	t.Helper()
	try(t, plugin.KindDoctor, open, settings)
}

// Classifier is Doctor for a classifier.
func Classifier(t TB, open func() pluginkit.Plugin, settings ...Setting) {
	t.Helper()
	try(t, plugin.KindClassifier, open, settings)
}

// Unloader is Doctor for an unloader.
func Unloader(t TB, open func() pluginkit.Plugin, settings ...Setting) {
	t.Helper()
	try(t, plugin.KindUnloader, open, settings)
}

// Launcher is Doctor for a launcher. What it launches is the test binary: its TestMain calls ChildMain first.
func Launcher(t TB, open func() pluginkit.Plugin, settings ...Setting) {
	t.Helper()
	try(t, plugin.KindLauncher, open, settings)
}

func try(t TB, kind plugin.Kind, open func() pluginkit.Plugin, settings []Setting) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatalf("cannot find the test binary: %v", err)
	}
	root, err := os.MkdirTemp("", "ghc") // short: sockets live under it
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer func() { _ = os.RemoveAll(root) }()
	l := &localOpener{open: open, root: root}
	o := Options{Dir: filepath.Join(root, "scratch"), Kinds: []plugin.Kind{kind}, Child: []string{self, ChildVerb}}
	for _, set := range settings {
		set(l, &o)
	}
	if !open().Info().Serves(kind) {
		t.Fatalf("the plugin does not serve as %s", kind)
	}
	o.OnResult = func(r Result) {
		text := fmt.Sprintf("%s: %s", r.ID, strings.Join(strings.Fields(r.Title+" "+r.Why), " "))
		switch r.Result {
		case Fails:
			t.Errorf("%s\n\tcontract: %s\n\thint: %s", text, r.Row, r.Hint)
		case NotApplicable:
			t.Logf("%s: not applicable: %s", r.ID, r.Why)
		default:
			t.Logf("%s", text)
		}
	}
	if _, err := Run(t.Context(), l, o); err != nil {
		t.Fatalf("%v", err)
	}
}

// localOpener makes plugins in this process.
type localOpener struct {
	open   func() pluginkit.Plugin
	root   string
	config []byte
}

var _ Opener = (*localOpener)(nil)

func (l *localOpener) Places() map[string]string {
	return map[string]string{
		"data": filepath.Join(l.root, "data"), "run": filepath.Join(l.root, "run"),
		"runtime": filepath.Join(l.root, "s"),
	}
}

func (l *localOpener) Open(ctx context.Context, _ ...string) (Process, error) {
	made := l.open()
	conn, err := plugintest.Dial(made) //nolint:contextcheck // it lives until Close
	if err != nil {
		return nil, err
	}
	p := &localProcess{conn: conn, done: make(chan struct{})}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := l.introduce(ctx, p); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (l *localOpener) introduce(ctx context.Context, p *localProcess) error {
	client := pluginkit.NewClient(p.conn)
	var err error
	if p.info, err = client.Describe(ctx, plugin.HostInfo{Version: "devel"}); err != nil {
		return fmt.Errorf("cannot describe the plugin: %w", err)
	}
	places := l.Places()
	p.asked = plugin.ConfigureRequest{
		Config: l.config, Name: p.info.Name,
		Directories: plugin.Directories{Data: places["data"]},
	}
	if len(p.asked.Config) == 0 {
		p.asked.Config = []byte("{}")
	}
	if p.info.Serves(plugin.KindLauncher) {
		p.asked.Directories.Run, p.asked.Directories.Runtime = places["run"], places["runtime"]
	}
	for _, dir := range places {
		if err := makeDirs(dir); err != nil {
			return err
		}
	}
	diagnostics, err := client.Configure(ctx, p.asked)
	if err != nil {
		return fmt.Errorf("cannot configure the plugin: %w", err)
	}
	var faults []error
	for _, d := range diagnostics {
		if d.Severity == plugin.SeverityError {
			faults = append(faults, fault.New(fault.InvalidArgument, strings.TrimPrefix(d.Path+": "+d.Message,
				": ")).WithHint(d.Hint))
		}
	}
	return errors.Join(faults...)
}

// localProcess is a plugin that is served in this process.
type localProcess struct {
	conn  *plugintest.Conn
	info  plugin.Info
	asked plugin.ConfigureRequest
	once  sync.Once
	done  chan struct{}
}

var _ Process = (*localProcess)(nil)

func (p *localProcess) Conn() grpc.ClientConnInterface { return p.conn }
func (p *localProcess) Info() plugin.Info              { return p.info }
func (p *localProcess) Asked() plugin.ConfigureRequest {
	out := p.asked
	out.Config = slices.Clone(out.Config)
	return out
}
func (p *localProcess) PID() int                 { return 0 }
func (p *localProcess) Done() <-chan struct{}    { return p.done }
func (p *localProcess) Drained() <-chan struct{} { return p.done }
func (p *localProcess) Printed() []string        { return nil }
func (p *localProcess) LastLines() []string      { return nil }
func (p *localProcess) Mark() string             { return "" }
func (p *localProcess) SocketDir() string        { return "" }
func (p *localProcess) Socket() string           { return "" }
func (p *localProcess) CloseStdin()              { p.Close() }
func (p *localProcess) Kill()                    { p.Close() }

func (p *localProcess) Close() {
	p.once.Do(func() {
		_ = p.conn.Close()
		close(p.done)
	})
}
