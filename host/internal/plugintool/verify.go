package plugintool

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/pluginspec"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/internal/version"
	"github.com/gatehost/gatehost/shared/conformance"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/plugin"
)

// ProbeOptions are what [plugins.NAME] says elsewhere, for a plugin that is started to be looked at. The zero value is that of a table with
// nothing but a path.
type ProbeOptions struct {
	Args      []string
	Table     string // a TOML file with its own table; "": it has none
	Grants    []string
	Transport string   // "auto_mtls", "socket"; "": as its manifest says, else the former
	Sandbox   string   // "auto", "on", "off"; "" is auto
	Read      []string // absolute; what the sandbox lets it read besides
	Network   bool
	// StartTimeout is how long it may take to start; 0: the default of plugins.NAME.start_timeout.
	StartTimeout time.Duration
	Log          hclog.Logger // nil: no log
}

// Probe starts processes of one plugin as a host does, without a host, in directories that are removed by Close.
type Probe struct {
	probe     *pluginhost.Probe
	path      string
	root      string
	sandboxed bool
	told      control.Sandbox

	silent error // of a start that took all of its time
}

var _ conformance.Opener = (*Probe)(nil)

// NewProbe prepares to start a plugin by its path. It is started once to see what it serves: launchers and unloaders are not sandboxed.
// What is wrong with the plugin is told by Open. Errors: a table that cannot be read, which is a ConfigFaults; no place for its directories.
func NewProbe(ctx context.Context, path string, o ProbeOptions) (*Probe, error) {
	var table json.RawMessage
	if o.Table != "" {
		var err error
		if table, err = config.Table(o.Table); err != nil {
			return nil, err
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	root, err := os.MkdirTemp("", "ghv") // short: sockets live under it
	if err != nil {
		return nil, err
	}
	p := &Probe{path: path, root: root}
	spec := pluginhost.Spec{
		Name: probeName(path), Path: path, Args: o.Args, Grants: o.Grants, Transport: o.Transport, Config: table,
		StartTimeout: cmp.Or(o.StartTimeout, config.DefaultStartTimeout),
		Env:          map[string]string{},
	}
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	if err := p.prepare(ctx, o, spec); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Probe) prepare(ctx context.Context, o ProbeOptions, spec pluginhost.Spec) error {
	options := pluginhost.Options{
		Log: o.Log, Version: version.Version(), PluginDir: filepath.Dir(spec.Path), DataDir: filepath.Join(p.root, "data"),
		RunDir: filepath.Join(p.root, "run"), RuntimeDir: filepath.Join(p.root, "s"),
	}
	for _, dir := range []string{options.DataDir, options.RunDir, options.RuntimeDir, p.Scratch(), filepath.Join(p.root, "tmp")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	open := spec
	open.Env = map[string]string{"TMPDIR": filepath.Join(p.root, "tmp")}
	box := config.Sandbox{Mode: o.Sandbox, Read: o.Read, Network: o.Network}
	if asked, err := manifest.Read(spec.Path); err == nil { // it is tried with what it asks for: an operator may give it
		box.Read, box.Write, box.Network = slices.Concat(o.Read, asked.Read), asked.Write, o.Network || asked.Network
	}
	here := sandbox.Supported()
	var err error
	if spec.Sandbox, p.told, err = pluginspec.Sandbox(box, spec.Name, false, here); err != nil {
		return err
	}
	if o.Sandbox == config.SandboxOff {
		p.told.Why = "it was asked to be off"
	}
	if spec.Sandbox != nil {
		if p.probe, err = pluginhost.NewProbe(options, spec); err != nil {
			return err
		}
		if p.sandboxed = !p.startsProcesses(ctx, options, open); p.sandboxed {
			return nil
		}
		if _, p.told, err = pluginspec.Sandbox(box, spec.Name, true, here); err != nil {
			return err
		}
	}
	p.probe, err = pluginhost.NewProbe(options, open)
	return err
}

// startsProcesses asks the plugin what it serves: in its sandbox, and if it cannot answer there, without one.
func (p *Probe) startsProcesses(ctx context.Context, options pluginhost.Options, open pluginhost.Spec) bool {
	began := time.Now()
	info, err := p.probe.Describe(ctx)
	if err != nil && time.Since(began) > open.StartTimeout/2 { // it says nothing; to wait for that again and again helps nobody
		p.silent = err
		return false
	}
	if err != nil {
		free, freeErr := pluginhost.NewProbe(options, open)
		if freeErr != nil {
			return false
		}
		if info, err = free.Describe(ctx); err != nil {
			return false // of which Open tells
		}
	}
	return info.Serves(plugin.KindLauncher) || info.Serves(plugin.KindUnloader)
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// probeName is what the plugin is called by the host.
func probeName(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	return cmp.Or(strings.Trim(notInNames.ReplaceAllString(name, "-"), "-"), "plugin")
}

// Open starts a process. Errors: what a host would say of the plugin.
func (p *Probe) Open(ctx context.Context, write ...string) (conformance.Process, error) {
	if p.silent != nil {
		return nil, p.silent
	}
	started, err := p.probe.Start(ctx, write...)
	if err != nil {
		return nil, err
	}
	return started, nil
}

// Places are the directories that the plugin is given.
func (p *Probe) Places() map[string]string {
	out := map[string]string{"data": p.probe.DataDir(), "run": filepath.Join(p.root, "run")}
	if !p.sandboxed { // else it is its data directory
		out["tmp"] = filepath.Join(p.root, "tmp")
	}
	return out
}

// Path is that of the plugin, absolute.
func (p *Probe) Path() string { return p.path }

// Scratch is a directory for whoever tries the plugin.
func (p *Probe) Scratch() string { return filepath.Join(p.root, "scratch") }

// Sandbox tells how the plugin is sandboxed.
func (p *Probe) Sandbox() control.Sandbox { return p.told }

// Close removes the directories. Processes that were opened are closed before.
func (p *Probe) Close() error { return os.RemoveAll(p.root) }

// Options say how a plugin is started and what is tried.
type Options struct {
	ProbeOptions

	Kinds     []string // "doctor"; empty: all that it serves
	Only      []string // ids of checks, or "doctor/"
	Incidents []string // files
	Deadline  time.Duration
	Child     []string // command line of conformance.RunChild
	OnResult  func(conformance.Result)
}

// Report is how all went; its JSON is stable.
type Report struct {
	Path    string          `json:"path"`
	Sandbox control.Sandbox `json:"sandbox"`
	conformance.Report
}

// Errors of Verify besides those of NewProbe.
var (
	// ErrUsage is wrapped by errors about options.
	ErrUsage = errors.New("usage")
	// ErrTableRefused is wrapped when the plugin does not start because it refuses its table.
	ErrTableRefused = errors.New("the plugin refuses its table")
)

// Verify holds the contract against a plugin. The report is worth reading with an error, too, when it has checks.
func Verify(ctx context.Context, path string, o Options) (Report, error) {
	run, err := o.conformance()
	if err != nil {
		return Report{}, err
	}
	p, err := NewProbe(ctx, path, o.ProbeOptions)
	if err != nil {
		return Report{}, err
	}
	defer func() { _ = p.Close() }()
	run.Dir = p.Scratch()
	report, err := conformance.Run(ctx, p, run)
	if pluginhost.IsTableRefused(err) {
		err = errors.Join(ErrTableRefused, err)
	}
	return Report{Path: p.Path(), Sandbox: p.told, Report: report}, err
}

// conformance turns words into options.
func (o Options) conformance() (conformance.Options, error) {
	run := conformance.Options{Only: o.Only, Deadline: o.Deadline, Child: o.Child, OnResult: o.OnResult}
	if unknown := conformance.Unknown(o.Only); len(unknown) > 0 {
		return run, fmt.Errorf("%w: there is no check %q", ErrUsage, unknown[0])
	}
	for _, word := range o.Kinds {
		if !slices.Contains(plugin.Kinds(), plugin.Kind(word)) {
			return run, fmt.Errorf("%w: there is no kind %q", ErrUsage, word)
		}
		run.Kinds = append(run.Kinds, plugin.Kind(word))
	}
	for _, file := range o.Incidents {
		i, err := conformance.ReadIncident(file)
		if err != nil {
			return run, fmt.Errorf("%w: %w", ErrUsage, err)
		}
		run.Incidents = append(run.Incidents, i)
	}
	return run, nil
}

// IsConfigFault reports whether an error is about what an operator wrote: a configuration, or a plugin's table.
func IsConfigFault(err error) bool {
	_, ok := errors.AsType[config.Faults](err)
	return ok || errors.Is(err, ErrTableRefused)
}

// Check is one check, as `gatehost plugin verify --list --json` prints it.
type Check struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"`
	Title string `json:"title"`
	Row   string `json:"row"`
}

// Checks lists all checks, in the order in which they are tried.
func Checks() []Check {
	var out []Check
	for _, c := range conformance.Checks() {
		out = append(out, Check{ID: c.ID, Kind: string(c.Kind), Title: c.Title, Row: c.Row})
	}
	return out
}
