package plugin

import (
	"context"
	"encoding/json"
)

// Kind is what a service does for the host. A kind is not a binary: one plugin may serve several.
type Kind string

// The kinds of v1alpha1.
const (
	KindLauncher   Kind = "launcher"
	KindUnloader   Kind = "unloader"
	KindDoctor     Kind = "doctor"
	KindClassifier Kind = "classifier"
)

// Kinds lists all kinds in the order in which the host asks for them.
func Kinds() []Kind { return []Kind{KindLauncher, KindUnloader, KindDoctor, KindClassifier} }

// CapabilityVerify is announced by a doctor that serves Verify.
const CapabilityVerify = "verify"

// Severity orders findings and diagnostics.
type Severity int

// Severities, mildest first.
const (
	SeverityInfo Severity = iota + 1
	SeverityWarning
	SeverityError
)

// String is the lower-case word used in JSON output and logs.
func (s Severity) String() string {
	switch s {
	case SeverityWarning:
		return "warning"
	case SeverityError:
		return "error"
	default:
		return "info"
	}
}

// Plugin is what every plugin serves besides its kinds. Both methods are called by one goroutine at a time.
type Plugin interface {
	// Describe says who the plugin is; the same answer each time.
	Describe(ctx context.Context, host HostInfo) (Info, error)
	// Configure takes the plugin's table. Faults in it are diagnostics; an error means that the table could not be
	// examined. After a diagnostic of SeverityError nothing may have changed.
	Configure(ctx context.Context, req ConfigureRequest) ([]Diagnostic, error)
}

// HostInfo says who asks.
type HostInfo struct {
	Version string // semantic version without v, or "devel"
	OS      string // as runtime.GOOS
	Arch    string // as runtime.GOARCH
}

// Info is a plugin's answer about itself.
type Info struct {
	Name         string
	Version      string
	Services     []ServiceInfo
	ConfigFields []ConfigField
	WantedGrants []string
	Homepage     string
	// UnknownKinds are services of a newer contract, by the number of their kind: a host of this version cannot use
	// them.
	UnknownKinds []int32 `json:",omitempty"`
}

// Serves reports whether i lists a service of kind k.
func (i Info) Serves(k Kind) bool {
	for _, s := range i.Services {
		if s.Kind == k {
			return true
		}
	}
	return false
}

// ServiceInfo is one service, the range of versions in which a plugin speaks it, and its optional parts; v1alpha1 is
// version 1. A range from a plugin is kept as it was announced, so it may be no range.
type ServiceInfo struct {
	Kind         Kind
	MinVersion   uint32
	MaxVersion   uint32
	Capabilities []string
}

// ConfigField describes one key of a plugin's own table.
type ConfigField struct {
	Path        string
	Type        string // string, integer, float, boolean, array, table
	Required    bool
	DefaultJSON string
	Doc         string
}

// Directories are the places that a plugin may use; all are 0700.
type Directories struct {
	Data    string // private, kept
	Run     string // launch bundles; launchers only
	Runtime string // short path for sockets; launchers only
}

// ConfigureRequest is a plugin's table and surroundings.
type ConfigureRequest struct {
	Config      json.RawMessage // a JSON object
	Directories Directories
	Name        string // the host's name of the plugin
	Grants      []string
}

// Diagnostic is one remark about one key of a plugin's table.
type Diagnostic struct {
	Severity Severity
	Path     string // dotted, "" for the whole table
	Message  string
	Hint     string
}

// GatewayFacts is what every service may know about the gateway that a call is about.
type GatewayFacts struct {
	Name       string
	Port       int
	Command    []string // launch command without the gateway's own arguments, e.g. ["openclaw"]
	Args       []string
	Cwd        string
	Profile    string // "openclaw" or "plain"
	Version    string // "" when never seen
	StateDir   string
	ConfigPath string
	State      string
	Host       HostInfo // who looks after it, and asks
}
