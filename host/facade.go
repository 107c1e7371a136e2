package host

import (
	"context"
	"io"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/host/internal/plugintool"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/shared/conformance"
)

// Config is a loaded configuration.
type Config = config.Config

// LoadConfig reads and checks a configuration; "" is the default place, or the defaults when there is no file. Errors list every
// fault with its line.
func LoadConfig(path string) (*Config, error) { return config.Load(path) }

// Sockets lists where the host of a configuration may be listening, best first; for clients. No host need be running.
func Sockets(path string) []string { return config.Sockets(path) }

// IsConfigFault reports whether an error is about what an operator wrote: a configuration, or a plugin's table.
func IsConfigFault(err error) bool { return plugintool.IsConfigFault(err) }

// SandboxVerb is the hidden verb of the host's binary by which a plugin is put into its sandbox; SandboxExec is what it does.
const SandboxVerb = sandbox.Verb

// SandboxExec takes what follows SandboxVerb and becomes the plugin. It returns only when it cannot.
func SandboxExec(args []string) error { return sandbox.Exec(args) }

// VerifyChildVerb is the hidden verb of the host's binary by which it becomes the program that launchers are tried with.
const VerifyChildVerb = conformance.ChildVerb

// VerifyChild is that program; it returns its exit code.
func VerifyChild(args []string, stdout, stderr io.Writer) int {
	return conformance.RunChild(args, stdout, stderr)
}

// What `gatehost plugin verify` needs; the JSON of a report and of a check is stable.
type (
	ProbeOptions  = plugintool.ProbeOptions
	VerifyOptions = plugintool.Options
	VerifyResult  = conformance.Result
	VerifyReport  = plugintool.Report
	VerifyCheck   = plugintool.Check
)

// ErrVerifyUsage is wrapped by errors of VerifyPlugin about its options.
var ErrVerifyUsage = plugintool.ErrUsage

// VerifyPlugin runs the contract tests against a plugin binary. The report is worth reading with an error, too, when it has checks.
func VerifyPlugin(ctx context.Context, path string, o VerifyOptions) (VerifyReport, error) {
	return plugintool.Verify(ctx, path, o)
}

// VerifyChecks lists all checks, in the order in which they are tried.
func VerifyChecks() []VerifyCheck { return plugintool.Checks() }

// Pin is the checksum of one plugin.
type Pin = plugintool.Pinned

// PinPlugins returns the checksums of plugins, all that are used when none is named, and with write puts them into the configuration file;
// see plugintool.Pin.
func PinPlugins(ctx context.Context, path string, names []string, write bool) ([]Pin, error) {
	return plugintool.Pin(ctx, path, names, write)
}

// Sealed is what SealPlugin has written.
type Sealed = manifest.Sealed

// SealPlugin writes the checksums of all files of a plugin's directory into its plugin.toml; see plugintool.Seal.
func SealPlugin(ctx context.Context, dir string) (Sealed, error) { return plugintool.Seal(ctx, dir) }
