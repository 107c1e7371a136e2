package plugintool

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
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

// probe starts processes of one plugin as a host does, without a host. close removes its directories. It implements
// conformance.Opener.
type probe struct {
	probe     *pluginhost.Probe
	path      string
	root      string
	sandboxed bool
	sandbox   control.Sandbox

	silent error // of the first start, when it took all of its time; Open then returns it and does not wait again
}

var _ conformance.Opener = (*probe)(nil)

// newProbe prepares to start a plugin by its path. It starts the plugin once to see which kinds it serves: launchers
// and unloaders are not sandboxed. Open reports what is wrong with the plugin. Errors: a table that cannot be read,
// which is a config.Faults; no place for its directories.
func newProbe(ctx context.Context, path string, o probeOptions) (*probe, error) {
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
	p := &probe{path: path, root: root}
	spec := pluginhost.Spec{
		Name: probeName(path), Path: path, Args: o.Args, Grants: o.Grants, Transport: o.Transport, Config: table,
		StartTimeout: cmp.Or(o.StartTimeout, config.DefaultStartTimeout),
		Env:          map[string]string{},
	}
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	if err := p.prepare(ctx, o, spec); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *probe) prepare(ctx context.Context, o probeOptions, spec pluginhost.Spec) error {
	options := pluginhost.Options{
		Log: o.Log, Version: version.Version(), PluginDir: filepath.Dir(spec.Path), DataDir: filepath.Join(p.root, "data"),
		RunDir: filepath.Join(p.root, "run"), RuntimeDir: filepath.Join(p.root, "s"),
	}
	for _, dir := range []string{
		options.DataDir, options.RunDir, options.RuntimeDir, p.scratch(), filepath.Join(p.root, "tmp"),
	} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	open := spec
	open.Env = map[string]string{"TMPDIR": filepath.Join(p.root, "tmp")}
	box := config.Sandbox{Mode: o.Sandbox, Read: o.Read, Network: o.Network}
	// the checks run with what the plugin asks for, as an operator may give it
	if asked, err := manifest.Read(spec.Path); err == nil && !o.bare {
		box.Read, box.Write, box.Network = slices.Concat(o.Read, asked.Read), asked.Write, o.Network || asked.Network
	}
	here := sandbox.Supported()
	var err error
	if spec.Sandbox, p.sandbox, err = pluginspec.Sandbox(box, spec.Name, false, here); err != nil {
		return err
	}
	if o.Sandbox == config.SandboxOff {
		p.sandbox.Why = "the options switch it off"
	}
	if spec.Sandbox != nil && o.bare {
		p.sandboxed = true
		p.probe, err = pluginhost.NewProbe(options, spec)
		return err
	}
	if spec.Sandbox != nil {
		if p.probe, err = pluginhost.NewProbe(options, spec); err != nil {
			return err
		}
		if p.sandboxed = !p.startsProcesses(ctx, options, open); p.sandboxed {
			return nil
		}
		if _, p.sandbox, err = pluginspec.Sandbox(box, spec.Name, true, here); err != nil {
			return err
		}
	}
	p.probe, err = pluginhost.NewProbe(options, open)
	return err
}

// startsProcesses asks the plugin which kinds it serves: in its sandbox, and if it cannot answer there, without one.
func (p *probe) startsProcesses(ctx context.Context, options pluginhost.Options, open pluginhost.Spec) bool {
	began := time.Now()
	info, err := p.probe.Describe(ctx)
	if err != nil && time.Since(began) > open.StartTimeout/2 { // it does not answer: do not wait for that again
		p.silent = err
		return false
	}
	if err != nil {
		free, freeErr := pluginhost.NewProbe(options, open)
		if freeErr != nil {
			return false
		}
		if info, err = free.Describe(ctx); err != nil {
			return false // Open reports it
		}
	}
	return info.Serves(plugin.KindLauncher) || info.Serves(plugin.KindUnloader)
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// probeName is the plugin's name in the temporary host.
func probeName(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	return cmp.Or(strings.Trim(notInNames.ReplaceAllString(name, "-"), "-"), "plugin")
}

// Open starts a process. Its errors are those that a host would report about the plugin.
func (p *probe) Open(ctx context.Context, write ...string) (conformance.Process, error) {
	if p.silent != nil {
		return nil, p.silent
	}
	started, err := p.probe.Start(ctx, write...)
	if err != nil {
		return nil, err
	}
	return started, nil
}

// Places returns the directories that the plugin is given, by name.
func (p *probe) Places() map[string]string {
	out := map[string]string{"data": p.probe.DataDir(), "run": filepath.Join(p.root, "run")}
	if !p.sandboxed { // in the sandbox, TMPDIR is the data directory
		out["tmp"] = filepath.Join(p.root, "tmp")
	}
	return out
}

// scratch is a directory for the checks themselves.
func (p *probe) scratch() string { return filepath.Join(p.root, "scratch") }

// close removes the directories. The caller has closed the processes before.
func (p *probe) close() error { return os.RemoveAll(p.root) }
