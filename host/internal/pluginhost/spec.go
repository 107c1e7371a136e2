package pluginhost

import (
	"encoding/json"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Options are common to all plugins of a host.
type Options struct {
	Log        hclog.Logger
	Version    string // of the host
	PluginDir  string // where bare names are looked up, and nowhere else
	DataDir    string // parent of the plugins' private directories
	RunDir     string // launch bundles, for launchers
	RuntimeDir string // short path for sockets
	Wrapper    string // the host's binary, which understands sandbox.Verb; "": this one
	OnState    func(State)
	// OnCall is told of each call to a plugin that ended; it must not block. nil: nobody.
	OnCall func(Call)
	Timing Timing
	// Speaks is the versions of services that the host speaks; nil: Speaks(). Less is for tests of what an older host does.
	Speaks map[plugin.Kind]Versions

	drain time.Duration // for how long the pipes of a process that ended are looked at; 0: drainBound
}

// Call is a call to a plugin that ended.
type Call struct {
	Plugin, Method string // Method is one of the contract: Launcher.Launch
	Took           time.Duration
	Stream         bool // it lasts as long as something else does
	Err            error
}

// Timing is how long things may take; the zero value of each means its default.
type Timing struct {
	HealthEvery   time.Duration // default 5 s
	HealthTimeout time.Duration // default 2 s; two misses in a row end a plugin
	BackoffBase   time.Duration // default 1 s, doubled up to BackoffMax
	BackoffMax    time.Duration // default 30 s
	HealthyAfter  time.Duration // default 1 min: then a restart counts from the beginning
	CircuitAfter  int           // default 5 failed starts in a row: then only every CircuitRetry
	CircuitRetry  time.Duration // default 1 min
	CloseGrace    time.Duration // default 3 s between the closed death pipe and the kill
	CallWait      time.Duration // default 10 s: how long a call waits for a plugin that is being restarted
	OutputSilence time.Duration // default 30 s, two heartbeats: then an output stream is opened again
	Drain         time.Duration // default 5 s: how long a call that can be asked again may go on in a process that was replaced
	DrainLong     time.Duration // default 10 min, the longest step of a repair: the same for one that cannot, and has no deadline of its own
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
	Name         string
	Path         string // of a file, or of a directory with plugin.toml; absolute, or a bare name that is looked up in PluginDir, never on PATH
	Args         []string
	Env          map[string]string
	SHA256       string // of the file, or of a directory's plugin.toml, lower-case hex; "" does not check
	Grants       []string
	Uses         []plugin.Kind // what gateways use it as: what takes its place has to serve as that; nil: as all that it serves as
	StartTimeout time.Duration // default 30 s: from the start of the process to the end of Configure
	// CallTimeout takes the place of the contract's deadline of each call that has one. Stop and Exec get their own grace or
	// timeout and at least what the contract adds to it; Repair and Output have no deadline. Default: the contract's.
	CallTimeout time.Duration
	// MemoryMax is the resident memory of the process in bytes above which, at two looks in a row (Timing.HealthEvery), the plugin is
	// replaced as by Restart; above twice as much it is killed and started again. 0: no limit.
	MemoryMax uint64
	// Sandbox is what the plugin may do; nil: it is not shut in. It is refused where Options.Sandbox has no wrapper.
	Sandbox *sandbox.Spec
	// Transport is how the plugin speaks: TransportMTLS, or TransportSocket without mutual TLS, on a unix socket in a directory of 0700, where
	// who answers is proved by its pid. "": as its manifest says, else TransportMTLS.
	Transport string
	Config    json.RawMessage
	// Where says where in config.toml a key of the plugin's table stands, for diagnostics: "config.toml:12".
	Where func(path string) string
}

// withDefaults fills in what was left out.
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
	Failed     = "failed" // the circuit is open: tried again only now and then
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
	Err      error    // of the last start or end; nil while all is well
	Lines    []string // its last raw lines, when it failed
	Since    time.Time
	// UnknownKinds are services that the plugin announced and this host does not know, by the numbers of their kinds.
	UnknownKinds []int32
	Manifest     *manifest.Manifest // of a directory, as it was last read for a start; not to be changed; nil for a plugin that is one file
	Wants        []string           // grants that it asked for when it said who it is
	Refused      []Refusal          // what its sandbox kept from it, the oldest first; at most 32
}
