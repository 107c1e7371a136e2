package plugintool

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/view"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

// NotStarted is the state of a plugin that Inspect did not start.
const NotStarted = "not-started"

// Inspect returns what the directory of a plugin says about it: its manifest, what it asks for, and whether its files
// are those that the manifest lists. It starts nothing, unless describe is set: then the plugin, also one that is a
// single file, is started in its sandbox with empty directories, and says which keys its table has. Errors: there is no
// plugin, or its manifest is broken.
func Inspect(ctx context.Context, path string, describe bool) (control.Plugin, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return control.Plugin{}, err
	}
	state := pluginhost.State{Name: probeName(abs), State: NotStarted}
	info, err := os.Stat(abs)
	if err != nil {
		return control.Plugin{}, fault.Wrap(fault.NotFound, "cannot show "+path, errors.Unwrap(err)).
			WithHint("name the directory of a plugin, or a plugin of a running host without a slash")
	}
	if info.IsDir() {
		if err := readManifest(ctx, path, &state); err != nil {
			return control.Plugin{}, err
		}
	} else if !describe {
		return control.Plugin{}, fault.New(fault.FailedPrecondition, "cannot show "+path+
			": a single file says nothing about itself before it runs").
			WithHint("run `gatehost plugin info " + path + " --describe` to start it in a sandbox and ask it")
	}
	services := []string{}
	if state.Manifest != nil {
		services = state.Manifest.Kinds
	}
	if describe {
		if services, err = described(ctx, abs, &state); err != nil {
			return control.Plugin{}, err
		}
	}
	out := view.Plugin(state, abs)
	out.Services, out.Negotiated = services, nil // no host has talked to it
	view.Trust(&out, state, &config.Plugin{Name: state.Name})
	out.Pin = nil // it is in no configuration
	return out, nil
}

// readManifest adds what the manifest of a directory says.
func readManifest(ctx context.Context, path string, state *pluginhost.State) error {
	m, err := manifest.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fault.Wrap(fault.NotFound, "cannot show "+path, err).
			WithHint("name the directory of a plugin, with its " + manifest.Name)
	}
	if err != nil {
		return err
	}
	state.Name, state.Version, state.Manifest, state.Err = m.Plugin, m.Version, m, unsealed(ctx, m, path)
	return nil
}

// unsealed says why the files of a directory are not those that its manifest lists; nil when they are.
func unsealed(ctx context.Context, m *manifest.Manifest, path string) error {
	program, err := m.Open(ctx)
	if err != nil {
		return fault.Wrap(fault.FailedPrecondition, "it would not be started", err).
			WithHint("ask its author; when the files are as they should be, run `gatehost plugin seal " + path + "`")
	}
	if program == nil { // an interpreter runs it
		return nil
	}
	return program.Close()
}

// described starts a plugin, adds what it says about itself and returns the kinds that it serves. The sandbox gives it
// nothing that it asks for: the operator has not decided yet. A plugin that needs more to answer is an error.
func described(ctx context.Context, path string, state *pluginhost.State) ([]string, error) {
	p, err := newProbe(ctx, path, probeOptions{bare: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.close() }()
	info, err := p.probe.Describe(ctx)
	if err != nil {
		return nil, err
	}
	state.Name, state.Version = info.Name, info.Version
	state.Wants, state.Fields, state.Homepage = info.WantedGrants, info.ConfigFields, info.Homepage
	state.UnknownKinds = info.UnknownKinds
	var services []string
	for _, s := range info.Services {
		services = append(services, string(s.Kind))
	}
	return services, nil
}
