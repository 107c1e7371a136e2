package plugintool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/shared/conformance"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Options say how Verify starts a plugin and which checks it runs.
type Options struct {
	probeOptions

	Kinds     []string // such as "doctor"; empty: all that the plugin serves
	Only      []string // ids of checks, or "doctor/"
	Incidents []string // files
	Deadline  time.Duration
	Child     []string // command line of conformance.RunChild
	OnResult  func(conformance.Result)
}

// probeOptions say for a plugin that is started to be checked what [plugins.NAME] says for others. The zero value is a
// table with nothing but a path.
type probeOptions struct {
	Args      []string
	Table     string // a TOML file with the plugin's own table; "": none
	Grants    []string
	Transport string   // "auto_mtls" or "socket"; "": as the manifest says, else "auto_mtls"
	Sandbox   string   // "auto", "on", "off"; "" is auto
	Read      []string // absolute; what the sandbox also lets it read
	Network   bool
	// StartTimeout is how long a start may take; 0: the default of plugins.NAME.start_timeout.
	StartTimeout time.Duration
	Log          hclog.Logger // nil: no log

	bare bool // in the sandbox it gets nothing that its manifest asks for, and it is not started without one
}

// Report has all results of Verify. Its JSON is stable.
type Report struct {
	Path    string          `json:"path"`
	Sandbox control.Sandbox `json:"sandbox"`
	conformance.Report
}

// Errors of Verify.
var (
	// ErrUsage is wrapped by errors about options.
	ErrUsage = errors.New("usage")
	// errTableRefused is wrapped when the plugin does not start because it refuses its table.
	errTableRefused = errors.New("the plugin refuses its table")
)

// Verify runs the contract tests against a plugin. Errors: ErrUsage, those that IsConfigFault reports, and why the
// plugin could not be started. With an error, too, the report is of use when it has results.
func Verify(ctx context.Context, path string, o Options) (Report, error) {
	run, err := o.conformance()
	if err != nil {
		return Report{}, err
	}
	p, err := newProbe(ctx, path, o.probeOptions)
	if err != nil {
		return Report{}, err
	}
	defer func() { _ = p.close() }()
	run.Dir = p.scratch()
	report, err := conformance.Run(ctx, p, run)
	if pluginhost.IsTableRefused(err) {
		err = errors.Join(errTableRefused, err)
	}
	return Report{Path: p.path, Sandbox: p.sandbox, Report: report}, err
}

// conformance checks the options and turns them into those of the contract tests.
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
	return ok || errors.Is(err, errTableRefused)
}

// Check describes one check, as `gatehost plugin verify --list --json` prints it.
type Check struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"`
	Title string `json:"title"`
	Row   string `json:"row"`
}

// Checks lists all checks in the order in which Verify runs them.
func Checks() []Check {
	var out []Check
	for _, c := range conformance.Checks() {
		out = append(out, Check{ID: c.ID, Kind: string(c.Kind), Title: c.Title, Row: c.Row})
	}
	return out
}
