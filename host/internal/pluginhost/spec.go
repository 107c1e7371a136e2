package pluginhost

import (
	"encoding/json"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Options are common to all plugins of a host.
type Options struct {
	Log        hclog.Logger
	Version    string // of the host
	PluginDir  string // the only place where bare names are looked up
	DataDir    string // parent of the plugins' private directories
	RunDir     string // launch bundles, for launchers
	RuntimeDir string // short path for sockets
	Wrapper    string // the host's binary, which understands sandbox.Verb; "": this one
	OnState    func(State)
	// Secrets are hidden in all that plugins say; the host adds those by which it proves itself to plugins. nil: no
	// others are known.
	Secrets *redact.Known
	// OnCall is called after each call to a plugin; it must not block. nil: not called.
	OnCall func(Call)
	Timing Timing
	// Speaks is the versions of services that the host speaks; nil: Speaks(). Tests use fewer, to see what an older
	// host does.
	Speaks map[plugin.Kind]Versions

	drain time.Duration // for how long the pipes of a process that ended are watched; 0: drainBound
	spare bool          // what a process leaves when it ends is examined and not ended
}

// Call is a call to a plugin that ended.
type Call struct {
	Plugin, Method string // Method has the contract's name: Launcher.Launch
	Took           time.Duration
	Stream         bool // the call lasts as long as the launch that it reads from
	Err            error
}

// Timing is how long things may take; the zero value of each means its default.
type Timing struct {
	HealthEvery   time.Duration // default 5 s
	HealthTimeout time.Duration // default 2 s; two misses in a row end a plugin
	BackoffBase   time.Duration // default 1 s, doubled up to BackoffMax
	BackoffMax    time.Duration // default 30 s
	HealthyAfter  time.Duration // default 1 min: after it the count of restarts begins again
	CircuitAfter  int           // default 5 failed starts in a row: then a try every CircuitRetry
	CircuitRetry  time.Duration // default 1 min
	LauncherRetry time.Duration // default 15 s: the same for a plugin that a gateway uses as its launcher, and waits for
	CloseGrace    time.Duration // default 3 s between closing the death pipe and the kill
	CallWait      time.Duration // default 10 s: how long a call waits for a plugin that is restarting
	OutputSilence time.Duration // default 30 s, two heartbeats: then an output stream is opened again
	// default 5 s: how long a call that can be retried may go on in a process that was replaced
	Drain time.Duration
	// default 10 min, the longest step of a repair: the same for a call that cannot be retried and has no deadline of
	// its own
	DrainLong time.Duration
}

func (t Timing) withDefaults() Timing {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&t.HealthEvery, 5*time.Second)
	set(&t.HealthTimeout, 2*time.Second)
	set(&t.BackoffBase, time.Second)
	set(&t.BackoffMax, 30*time.Second)
	set(&t.HealthyAfter, time.Minute)
	set(&t.CircuitRetry, time.Minute)
	set(&t.LauncherRetry, 15*time.Second)
	set(&t.CloseGrace, 3*time.Second)
	set(&t.CallWait, 10*time.Second)
	set(&t.OutputSilence, 30*time.Second)
	set(&t.Drain, 5*time.Second)
	set(&t.DrainLong, 10*time.Minute)
	if t.CircuitAfter <= 0 {
		t.CircuitAfter = 5
	}
	return t
}

// Spec is one plugin as the operator configured it.
type Spec struct {
	Name string
	// of a file, or of a directory with plugin.toml; absolute, or a bare name that is looked up in PluginDir, never on
	// PATH
	Path   string
	Args   []string
	Env    map[string]string
	SHA256 string // of the file, or of a directory's plugin.toml, in lower-case hex; "": not checked
	Grants []string
	// what gateways use it as, which its replacement must serve, too; nil: all that it serves as
	Uses         []plugin.Kind
	StartTimeout time.Duration // default 30 s: from the start of the process to the end of Configure
	// CallTimeout replaces the contract's deadline of each call that has one. Stop and Exec get their own grace or
	// timeout, and at least what the contract adds to it; Repair and Output have no deadline. Default: the contract's.
	CallTimeout time.Duration
	// MemoryMax is the limit of resident memory in bytes, of the process and its children. A process above it at two
	// checks in a row (Timing.HealthEvery) is replaced as by Restart; one above twice the limit is killed and started
	// again. 0: no limit.
	MemoryMax uint64
	// Sandbox is what the plugin may do; nil: it is not sandboxed. It is refused where Options.Sandbox has no wrapper.
	Sandbox *sandbox.Spec
	// Transport is how the plugin speaks: TransportMTLS, or TransportSocket without mutual TLS, on a unix socket in a
	// directory of mode 0700, where the pid proves which process answers, and a secret that the host calls. A launcher
	// or an unloader is used by TransportMTLS only. "": as its manifest says, else TransportMTLS.
	Transport string
	Config    json.RawMessage
	// Where returns the place of a key of the plugin's table in config.toml, for diagnostics: "config.toml:12".
	Where func(path string) string
}

// withDefaults sets the fields that are zero.
func (s Spec) withDefaults() Spec {
	if s.StartTimeout <= 0 {
		s.StartTimeout = defaultStartTimeout
	}
	if s.Where == nil {
		s.Where = func(string) string { return "" }
	}
	return s
}

// The transports.
const (
	TransportMTLS   = "auto_mtls"
	TransportSocket = "socket"
)

// The states of a plugin.
const (
	Starting   = "starting"
	Running    = "running"
	BackingOff = "backing-off"
	Failed     = "failed" // the circuit is open: it is started only every Timing.CircuitRetry, or LauncherRetry
	Stopped    = "stopped"
)

// State is what is known about a plugin.
type State struct {
	Name     string
	Version  string
	Services []Service
	PID      int
	State    string
	Restarts int
	Err      error    // of the last start or end; nil while nothing is wrong
	Lines    []string // its last raw lines, when it failed
	Since    time.Time
	// UnknownKinds are services that the plugin announced and this host does not know, by the numbers of their kinds.
	UnknownKinds []int32
	// of a directory, as last read for a start; must not be changed; nil for a plugin that is one file
	Manifest *manifest.Manifest
	Wants    []string             // grants that it asked for in Describe
	Fields   []plugin.ConfigField // of its table, as it described them
	Homepage string               // as it says itself
	Refused  []Refusal            // what its sandbox refused, the oldest first; at most 32
}
