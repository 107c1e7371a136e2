package host

import (
	"context"
	"io"
	"slices"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/gateway"
	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/host/internal/plugintool"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/host/internal/store"
	"github.com/gatehost/gatehost/shared/conformance"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/shim/process"
)

// Config is a loaded configuration.
type Config = config.Config

// LoadConfig reads and checks a configuration. With path "" it reads the file in the default place, or takes the
// defaults when there is no such file. The error lists every fault with its line.
func LoadConfig(path string) (*Config, error) { return config.Load(path) }

// Remarks lists what an operator has set for the gateways, in the environment of this process or in an env_file, and
// the gateways would not get. It names variables and shows no value.
func Remarks(cfg *Config) config.Faults { return gateway.Remarks(cfg) }

// Missing looks for what a configuration names and this machine does not have; see plugintool.Missing.
func Missing(ctx context.Context, cfg *Config) error {
	if faults := plugintool.Missing(ctx, cfg); len(faults) > 0 {
		return faults
	}
	return nil
}

// Sockets lists where the host of a configuration may listen, the most likely place first: the socket that the host
// which holds the state directory has named, whatever XDG_RUNTIME_DIR says here, then the usual places. It is for
// clients: no host need run. Errors: a file that was named, and that cannot be read or does not tell.
func Sockets(path string) ([]string, error) {
	stateDir, sockets, err := config.Rendezvous(path)
	if err != nil || stateDir == "" {
		return sockets, err
	}
	h, ok := store.ReadHolder(stateDir)
	if !ok || !(process.Identity{PID: h.PID, StartTime: h.StartTime}).Alive() {
		return sockets, nil // a host that has ended; its path may be another host's by now
	}
	sockets = slices.DeleteFunc(sockets, func(s string) bool { return s == h.Socket })
	return append([]string{h.Socket}, sockets...), nil
}

// IsConfigFault reports whether an error is about what an operator wrote: a configuration, or a plugin's table.
func IsConfigFault(err error) bool { return plugintool.IsConfigFault(err) }

// SandboxVerb is the hidden verb of the host's binary that starts a plugin in its sandbox; SandboxExec implements it.
const SandboxVerb = sandbox.Verb

// SandboxExec takes the arguments after SandboxVerb, enters the sandbox and becomes the plugin. It returns only when it
// cannot do that.
func SandboxExec(args []string) error { return sandbox.Exec(args) }

// VerifyChildVerb is the hidden verb of the host's binary that makes it the program with which launchers are tested;
// VerifyChild implements it.
const VerifyChildVerb = conformance.ChildVerb

// VerifyChild runs that program and returns its exit code.
func VerifyChild(args []string, stdout, stderr io.Writer) int {
	return conformance.RunChild(args, stdout, stderr)
}

type (
	// VerifyOptions say how VerifyPlugin starts the plugin and which checks it runs.
	VerifyOptions = plugintool.Options
	// VerifyResult is the result of one check.
	VerifyResult = conformance.Result
	// VerifyReport has all results of VerifyPlugin. Its JSON is stable.
	VerifyReport = plugintool.Report
	// VerifyCheck describes one check. Its JSON is stable.
	VerifyCheck = plugintool.Check
)

// ErrVerifyUsage is wrapped by errors of VerifyPlugin about its options.
var ErrVerifyUsage = plugintool.ErrUsage

// VerifyPlugin runs the contract tests against a plugin binary. With an error, too, the report is of use when it has
// results.
func VerifyPlugin(ctx context.Context, path string, o VerifyOptions) (VerifyReport, error) {
	return plugintool.Verify(ctx, path, o)
}

// VerifyChecks lists all checks in the order in which VerifyPlugin runs them.
func VerifyChecks() []VerifyCheck { return plugintool.Checks() }

// Pin is the checksum of one plugin.
type Pin = plugintool.Pinned

// PinPlugins returns the checksums of the named plugins; without names, of all plugins that are used. With write it
// puts them into the configuration file; see plugintool.Pin.
func PinPlugins(ctx context.Context, path string, names []string, write bool) ([]Pin, error) {
	return plugintool.Pin(ctx, path, names, write)
}

// InspectPlugin returns what the directory of a plugin says about it, without a host; with describe the plugin is
// started in its sandbox and asked. See plugintool.Inspect.
func InspectPlugin(ctx context.Context, path string, describe bool) (control.Plugin, error) {
	return plugintool.Inspect(ctx, path, describe)
}

// Sealed says what SealPlugin wrote.
type Sealed = manifest.Sealed

// SealPlugin writes the checksums of all files of a plugin's directory into its plugin.toml; see plugintool.Seal.
func SealPlugin(ctx context.Context, dir string) (Sealed, error) { return plugintool.Seal(ctx, dir) }
