package config

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gatehost/gatehost/host/internal/tomltext"
)

// SupportedVersion is the newest `version` of config.toml that this host understands.
const SupportedVersion = 1

// Config is a whole configuration: the defaults, then the file. Its paths are absolute. Treat it as immutable.
//
// Tags: toml is the key; min and max bound numbers, durations and sizes; oneof lists the words; required demands a
// value; applies says when a change made while the host runs takes effect (see When) and holds for everything
// inside a table.
type Config struct {
	Version   int    `toml:"version" min:"1"`
	StateDir  string `toml:"state_dir" applies:"host"`
	PluginDir string `toml:"plugin_dir" applies:"host"`
	// "": the places of RuntimeDirs; else the directory for sockets is made in this one
	RuntimeIn string              `toml:"runtime_dir" applies:"host"`
	Host      Host                `toml:"host"`
	Log       Log                 `toml:"log"`
	Control   Control             `toml:"control" applies:"host"`
	Journal   Journal             `toml:"journal" applies:"host"`
	Metrics   Metrics             `toml:"metrics" applies:"host"`
	Plugins   map[string]*Plugin  `toml:"plugins"`
	Gateways  map[string]*Gateway `toml:"gateways"`

	// Path is the file that the configuration was read from; "" without one.
	Path string

	where    tomltext.Positions
	warnings Faults
}

// Host is [host].
type Host struct {
	StartParallel int `toml:"start_parallel" min:"1" max:"64"` // gateways that start at the same time
}

// Log is [log].
type Log struct {
	Level  string `toml:"level" oneof:"trace|debug|info|warn|error"`
	Format string `toml:"format" oneof:"text|json" applies:"host"`
	Frames bool   `toml:"frames" applies:"session"` // every frame of every session, redacted
}

// Control is [control].
type Control struct {
	Socket string `toml:"socket"`
}

// Journal is [journal].
type Journal struct {
	MaxSize  Size `toml:"max_size" min:"64KiB" max:"1TiB"`
	MaxFiles int  `toml:"max_files" min:"1" max:"1000"`
	MaxRate  Size `toml:"max_rate" min:"64KiB" max:"1TiB"` // of each gateway, in a second
}

// Metrics is [metrics].
type Metrics struct {
	Enabled bool `toml:"enabled"`
}

// Plugin is [plugins.NAME].
type Plugin struct {
	Name string // the name of the table
	// a file, or a directory with plugin.toml; bare: in plugin_dir; else absolute
	Path    string            `toml:"path" required:"true"`
	Args    []string          `toml:"args"`
	Env     map[string]string `toml:"env"`
	SHA256  string            `toml:"sha256"`
	Grant   []string          `toml:"grant"` // as plugin.CheckGrant reads them
	Sandbox Sandbox           `toml:"sandbox"`
	// "": what its manifest says, else auto_mtls
	Transport    string          `toml:"transport" oneof:"auto_mtls|socket"`
	StartTimeout time.Duration   `toml:"start_timeout" min:"100ms" max:"10m"`
	CallTimeout  time.Duration   `toml:"call_timeout" min:"100ms" max:"10m"` // 0: the default of each method
	MemoryMax    Size            `toml:"memory_max" min:"16MiB" max:"1TiB"`  // 0: no limit
	Config       json.RawMessage `toml:"config"`                             // a JSON object; nil: none
}

// The modes of a sandbox.
const (
	SandboxAuto = "auto"
	SandboxOn   = "on"
	SandboxOff  = "off"
)

// Sandbox is [plugins.NAME.sandbox]: what the plugin may use in addition to what every plugin may.
type Sandbox struct {
	// Mode: auto runs a plugin that only diagnoses and classifies in a sandbox, where the platform supports it; on
	// refuses to start the plugin without one; off uses none. A launcher or an unloader never runs in a sandbox:
	// the gateway would run in it too.
	Mode      string   `toml:"mode" oneof:"auto|on|off"`
	Read      []string `toml:"read"`  // files and directories; relative to the directory of the file
	Write     []string `toml:"write"` // the same, also for writing
	Network   bool     `toml:"network"`
	OpenFiles int      `toml:"open_files" min:"64" max:"1000000"`
	FileSize  Size     `toml:"file_size" min:"1MiB" max:"1TiB"`
}

// Gateway is [gateways.NAME].
type Gateway struct {
	Name      string   // the name of the table
	Port      int      `toml:"port" min:"1" max:"65535" applies:"launch"`
	Autostart bool     `toml:"autostart"`
	Launcher  string   `toml:"launcher" required:"true" applies:"launch"`
	Unload    []string `toml:"unload"`
	// UnloadRestore says when the host brings back what it unloaded by itself.
	UnloadRestore string        `toml:"unload_restore" oneof:"never|on-exit"`
	Doctors       []string      `toml:"doctors"`
	Classifiers   []string      `toml:"classifiers"`
	OnConflict    string        `toml:"on_conflict" oneof:"attach|fail"`
	TrustPeer     string        `toml:"trust_peer" oneof:"own|root|any"`
	OnHostExit    string        `toml:"on_host_exit" oneof:"stop|keep"`
	OnShimLoss    string        `toml:"on_shim_loss" oneof:"restart|keep"`
	OrphanGrace   time.Duration `toml:"orphan_grace" min:"1s" max:"8760h" applies:"launch"`
	Token         Token         `toml:"token" applies:"launch"`
	TLS           TLS           `toml:"tls" applies:"session"`
	Launch        Launch        `toml:"launch" applies:"launch"`
	Ready         Ready         `toml:"ready"`
	Reconnect     Reconnect     `toml:"reconnect"`
	Liveness      Liveness      `toml:"liveness"`
	Restart       Restart       `toml:"restart"`
	Repair        Repair        `toml:"repair"`
}

// TLS is [gateways.NAME.tls]: how to know the certificate of a gateway that serves TLS. With any of its keys gatehost
// connects by TLS, whatever the gateway's own file says. Without them the file decides, and the certificate must be the
// one that it names.
type TLS struct {
	Fingerprint string `toml:"fingerprint"` // SHA-256 of the certificate, in hex; "sha256:" and colons are allowed
	CA          string `toml:"ca"`          // a file with the certificates of authorities, in PEM
	ServerName  string `toml:"server_name"` // with ca: the name in the certificate; "": 127.0.0.1 or localhost
}

// Pin returns the fingerprint as "sha256:" and 64 lower-case digits; "" when there is none, or it is malformed.
func (t TLS) Pin() string {
	hex := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(strings.ToLower(t.Fingerprint), "sha256:"), ":", ""))
	if len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		return ""
	}
	return "sha256:" + hex
}

// Token says where a gateway's token comes from: exactly one of the first three fields is set.
type Token struct {
	Env      string `toml:"env"`      // a variable of the host
	File     string `toml:"file"`     // a file that holds nothing else
	Generate bool   `toml:"generate"` // made once and stored in the state directory
	// Align says what gatehost may change in the gateway's own file, so that it authenticates by this token: fill gives
	// the token to a gateway that has none, in its environment, and changes nothing in the file; write also replaces
	// another token or mode there.
	Align string `toml:"align" oneof:"fill|write"`
}

// Named reports whether the operator named a token. A generated one is not: then the gateway's own file decides.
func (t Token) Named() bool { return t.Env != "" || t.File != "" }

// The values of Token.Align.
const (
	AlignFill  = "fill"
	AlignWrite = "write"
)

// Launch is [gateways.NAME.launch].
type Launch struct {
	Profile      string            `toml:"profile" oneof:"openclaw|plain"`
	Command      []string          `toml:"command" required:"true"`
	Args         []string          `toml:"args"` // nil: those of the profile; {port} is replaced
	Cwd          string            `toml:"cwd"`
	Env          map[string]string `toml:"env"`
	EnvFile      string            `toml:"env_file"`
	ClearEnv     bool              `toml:"clear_env"`
	PathPrepend  []string          `toml:"path_prepend"`
	Proxy        string            `toml:"proxy"`
	HTTPProxy    string            `toml:"http_proxy"` // for these three: "" falls back to proxy
	HTTPSProxy   string            `toml:"https_proxy"`
	AllProxy     string            `toml:"all_proxy"`
	NoProxy      []string          `toml:"no_proxy"`
	SkipChannels bool              `toml:"skip_channels"`
	User         string            `toml:"user"`
	StateDir     string            `toml:"state_dir"`   // "": the place that the profile uses
	ConfigPath   string            `toml:"config_path"` // "": the place that the profile uses
	// StateDirByDefault: StateDir was not given; what the env_file names has priority over it.
	StateDirByDefault bool
	Grace             time.Duration `toml:"grace" min:"100ms" max:"1h" applies:"now"`
	Hooks             []Hook        `toml:"hooks"`
	OutputMaxSize     Size          `toml:"output_max_size" min:"256KiB" max:"1GiB"`
}

// Hook is one of [[gateways.NAME.launch.hooks]]: a program that runs before a launch.
type Hook struct {
	Command  []string      `toml:"command" required:"true"`
	Timeout  time.Duration `toml:"timeout" min:"100ms" max:"1h" default:"30s"`
	Required bool          `toml:"required"` // when it fails, the start fails
	// files that it reads: after it succeeded, it is not run again until one of them changes
	Inputs []string `toml:"inputs"`
}

// Ready is [gateways.NAME.ready].
type Ready struct {
	NoProgress time.Duration `toml:"no_progress" min:"100ms" max:"24h"`
	Timeout    time.Duration `toml:"timeout" min:"100ms" max:"24h"`
	Interval   time.Duration `toml:"interval" min:"10ms" max:"1m"`
}

// Reconnect is [gateways.NAME.reconnect].
type Reconnect struct {
	Base         time.Duration `toml:"base" min:"10ms" max:"1h"`
	Max          time.Duration `toml:"max" min:"10ms" max:"24h"`
	Attempts     int           `toml:"attempts" min:"1" max:"10000"`
	StableAfter  time.Duration `toml:"stable_after" min:"100ms" max:"24h"`
	AfterCap     string        `toml:"after_cap" oneof:"slow|stop"`
	Jitter       float64       `toml:"jitter" min:"0" max:"0.9"` // of the delay, to either side
	SlowInterval time.Duration `toml:"slow_interval" min:"1s" max:"24h"`
}

// Liveness is [gateways.NAME.liveness].
type Liveness struct {
	Ping          time.Duration `toml:"ping" min:"100ms" max:"1h"`
	PongTimeout   time.Duration `toml:"pong_timeout" min:"100ms" max:"1h"`
	Silence       time.Duration `toml:"silence" min:"1s" max:"24h"`
	VerifyMethod  string        `toml:"verify_method" required:"true"`
	VerifyTimeout time.Duration `toml:"verify_timeout" min:"100ms" max:"10m"`
}

// Restart is [gateways.NAME.restart].
type Restart struct {
	Cooldown       time.Duration `toml:"cooldown" min:"1ms" max:"1h"`
	Debounce       time.Duration `toml:"debounce" min:"1ms" max:"1h"`
	ReloadDebounce time.Duration `toml:"reload_debounce" min:"1ms" max:"1h"`
	ReloadSettle   time.Duration `toml:"reload_settle" min:"1ms" max:"1h"`
	ReloadMinAge   time.Duration `toml:"reload_min_age" min:"1ms" max:"1h"`
}

// Repair is [gateways.NAME.repair].
type Repair struct {
	Mode    string `toml:"mode" oneof:"auto|ask|off"`
	Restore string `toml:"restore" oneof:"none|last-good"`
	// EvidenceSandbox: auto runs the commands that doctors ask for as evidence in a sandbox, where the platform has one;
	// off runs them without.
	EvidenceSandbox string `toml:"evidence_sandbox" oneof:"auto|off"`
	// files and directories that those commands may read besides the gateway's own; relative to the directory of the file
	EvidenceRead []string `toml:"evidence_read"`
}

// GatewayNames lists the gateways by name.
func (c *Config) GatewayNames() []string { return slices.Sorted(maps.Keys(c.Gateways)) }

// UsedPlugins lists, by name, the plugins that a gateway refers to: those that must run.
func (c *Config) UsedPlugins() []string {
	used := map[string]bool{}
	for _, g := range c.Gateways {
		for _, name := range g.plugins() {
			used[name] = true
		}
	}
	return slices.Sorted(maps.Keys(used))
}

// StartsProcesses reports whether a gateway uses the plugin as its launcher or as an unloader: what it starts would
// run in its sandbox.
func (c *Config) StartsProcesses(name string) bool {
	for _, g := range c.Gateways {
		if g.Launcher == name || slices.Contains(g.Unload, name) {
			return true
		}
	}
	return false
}

// plugins lists every plugin that g names, repetitions included.
func (g *Gateway) plugins() []string {
	return slices.Concat([]string{g.Launcher}, g.Unload, g.Doctors, g.Classifiers)
}
