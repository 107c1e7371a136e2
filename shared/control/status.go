package control

import "encoding/json"

// Status is the answer to GET /v1/status.
type Status struct {
	Host     HostStatus `json:"host"`
	Gateways []Gateway  `json:"gateways"`
	Plugins  []Plugin   `json:"plugins"`
}

// HostStatus is about the host itself.
type HostStatus struct {
	Version   string `json:"version"`
	PID       int    `json:"pid"`
	StartedAt Time   `json:"startedAt"`
	Config    string `json:"config,omitempty"` // path of config.toml; absent without one
	StateDir  string `json:"stateDir"`
	// Conditions are what is not well with the host itself, such as a journal that cannot be written.
	Conditions []Condition `json:"conditions"`
	// LogDropped counts the lines of the host's log that could not be written, because the terminal or pipe took none.
	LogDropped uint64 `json:"logDropped,omitempty"`
}

// States of a gateway.
const (
	StateStopped      = "stopped"
	StateStarting     = "starting"
	StateRunning      = "running"
	StateReconnecting = "reconnecting"
	StateStopping     = "stopping"
	StateError        = "error"
)

// Gateway is one gateway's status.
type Gateway struct {
	Name  string `json:"name"`
	State string `json:"state"`
	Phase string `json:"phase,omitempty"`
	// it does its work, as far as can be seen; it is not needed for running
	Ready      bool        `json:"ready"`
	Conditions []Condition `json:"conditions"`
	Owner      string      `json:"owner"` // none, owned, attached
	LaunchID   string      `json:"launchId,omitempty"`
	PID        int         `json:"pid,omitempty"`
	Port       int         `json:"port"`
	// while running: since its process began, or since we attached; at the time of the answer (B008)
	UptimeMs          *int64         `json:"uptimeMs,omitempty"`
	ConnectedAt       Time           `json:"connectedAt,omitzero"`
	Version           string         `json:"version,omitempty"`
	BootID            string         `json:"bootId,omitempty"`
	ReconnectAttempts int            `json:"reconnectAttempts"`
	Restarts          int            `json:"restarts"`
	Adopted           bool           `json:"adopted"`
	Drift             []string       `json:"drift"`
	Error             *Failure       `json:"error"`
	LastExit          *Exit          `json:"lastExit"`
	Session           *Session       `json:"session"`
	Liveness          *Liveness      `json:"liveness,omitempty"` // absent before the first session
	LastStart         *Start         `json:"lastStart,omitempty"`
	Reconnect         *Reconnect     `json:"reconnect,omitempty"` // absent before there was any
	Health            *GatewayHealth `json:"health,omitempty"`
	Output            *Output        `json:"output,omitempty"` // absent before there was any
	Files             *GatewayFiles  `json:"files,omitempty"`  // absent when it is not known where they are
	Launcher          string         `json:"launcher"`
	Doctors           []string       `json:"doctors"`
	Classifiers       []string       `json:"classifiers"`
	Unload            []string       `json:"unload"`
	// UnloadedServices were unloaded for this gateway and not restored.
	UnloadedServices []UnloadedService `json:"unloadedServices,omitempty"`
}

// GatewayFiles says which files are the gateway's own.
type GatewayFiles struct {
	Config   string `json:"config"`
	StateDir string `json:"stateDir"`
	// DecidedBy names what decided where the configuration is: a key of config.toml, a variable, an option of the
	// gateway, or "default"
	DecidedBy string   `json:"decidedBy"`
	Profile   string   `json:"profile,omitempty"`  // of OpenClaw, by --profile or --dev
	Includes  []string `json:"includes,omitempty"` // files that the configuration includes
	// Auth is how the gateway authenticates its clients: token, password, trusted-proxy or none
	Auth string `json:"auth,omitempty"`
}

// Output counts what a gateway wrote, in lines, since this host began, over restarts of the gateway. While nothing is
// written, Read is Classified + Unclassified, and Stored + Dropped.
type Output struct {
	Read         uint64 `json:"read"`
	Classified   uint64 `json:"classified"`
	Unclassified uint64 `json:"unclassified"` // no classifier answered: they are shown as warn
	Stored       uint64 `json:"stored"`       // in the journal
	// Dropped is not in the journal: the disk failed or was too slow, or the gateway wrote more than journal.max_rate
	Dropped uint64 `json:"dropped"`
	// DroppedEvents of the gateway, besides lines, are not in the journal: it sent more than journal.max_rate
	DroppedEvents uint64 `json:"droppedEvents,omitempty"`
	// Lost was written faster than it could be read, and overwritten in the shim's bounded log.
	LostLines uint64 `json:"lostLines"`
	LostBytes uint64 `json:"lostBytes"`
	Gaps      uint64 `json:"gaps"` // places where output was lost
	// Not shown: repeats of an earlier line, and lines that a rule of a classifier drops, by that rule. They are stored
	// nevertheless.
	Repeated uint64            `json:"repeated,omitempty"`
	HiddenBy map[string]uint64 `json:"hiddenBy,omitempty"`
}

// Condition is something that is not well while a gateway runs.
type Condition struct {
	Code    string `json:"code"`
	Since   Time   `json:"since,omitzero"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Failure is an error with a stable code and a hint.
type Failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Liveness is what is known about whether a gateway is alive.
type Liveness struct {
	LastAliveAt Time `json:"lastAliveAt,omitzero"` // the last sign of life of any kind
	// DeadlineAt is when a gateway that stays silent is asked; absent while there is no session.
	DeadlineAt Time `json:"deadlineAt,omitzero"`
	// Of the last such call; absent: there was none.
	VerifiedAt Time   `json:"verifiedAt,omitzero"`
	Result     string `json:"result,omitempty"` // alive, or why not: deadline-probe-timeout, deadline-probe-failed
}

// Exit is how a process ended; Code is nil when it was killed by Signal or the end was not seen.
type Exit struct {
	Code     *int     `json:"code,omitempty"`
	Signal   string   `json:"signal,omitempty"`
	At       Time     `json:"at,omitzero"`
	Core     bool     `json:"core,omitempty"`     // the kernel wrote a core file
	LastedMs *int64   `json:"lastedMs,omitempty"` // since the process began
	Tail     []string `json:"tail"`
}

// Session is the open WebSocket session.
type Session struct {
	Protocol    int      `json:"protocol"`
	ConnID      string   `json:"connId,omitempty"`
	Scopes      []string `json:"scopes"`
	LastFrameAt Time     `json:"lastFrameAt,omitzero"`
	RTTMs       *int64   `json:"rttMs,omitempty"`
	// What is missing or odd, counted over the session: these are signs, not errors.
	MissedPongs int `json:"missedPongs,omitempty"`
	MissedTicks int `json:"missedTicks,omitempty"`
	BadFrames   int `json:"badFrames,omitempty"`
}

// Start is the waterfall of the last start; TotalMs is nil while it lasts.
type Start struct {
	TotalMs *int64  `json:"totalMs,omitempty"`
	Outcome string  `json:"outcome,omitempty"` // absent while it lasts; then running, error, stopped, failed
	Stages  []Stage `json:"stages"`
	// Of a start that launched a process and reached running: until the gateway accepted a connection, and from there
	// to the open session.
	SpawnToReadyMs   *int64 `json:"spawnToReadyMs,omitempty"`
	ReadyToConnectMs *int64 `json:"readyToConnectMs,omitempty"`
	Trace            *Trace `json:"trace,omitempty"` // absent when the gateway reported no stages
}

// Trace is what a gateway reported of the stages of its own start. Its times are its own, in milliseconds with
// fractions.
type Trace struct {
	Count   int          `json:"count"`
	TotalMs float64      `json:"totalMs,omitempty"` // the greatest that it reported
	Last    TraceStage   `json:"last"`
	Slowest []TraceStage `json:"slowest"` // at most 10, slowest first
}

// TraceStage is one stage.
type TraceStage struct {
	Name    string   `json:"name"`
	Ms      float64  `json:"ms"`
	TotalMs *float64 `json:"totalMs,omitempty"` // since the gateway's process began
}

// Reconnect sums up the automatic attempts to get a gateway back since the host began.
type Reconnect struct {
	Attempts    uint64   `json:"attempts"` // that have ended
	Successes   uint64   `json:"successes"`
	Failures    uint64   `json:"failures"`
	SuccessRate *float64 `json:"successRate,omitempty"` // to 4 decimals; absent before the first has ended
	LastCause   string   `json:"lastCause,omitempty"`   // a code, as of an error
	LastOutcome string   `json:"lastOutcome,omitempty"`
	LastDelayMs *int64   `json:"lastDelayMs,omitempty"`
	NextAt      Time     `json:"nextAt,omitzero"` // while one is scheduled
}

// Stage is one step of a start; Ms is nil while it lasts.
type Stage struct {
	Name    string `json:"name"`
	StartMs int64  `json:"startMs"`
	Ms      *int64 `json:"ms,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// Plugin is one plugin's status. Kinds and Path are for `plugin info`.
type Plugin struct {
	Name     string          `json:"name"`
	Version  string          `json:"version,omitempty"`
	Services []string        `json:"services"` // those that work
	PID      int             `json:"pid,omitempty"`
	State    string          `json:"state"` // running, backing-off, failed, stopped
	Restarts int             `json:"restarts"`
	RSSBytes uint64          `json:"rssBytes,omitempty"`
	Path     string          `json:"path,omitempty"`
	Error    *Failure        `json:"error,omitempty"`
	Sandbox  *Sandbox        `json:"sandbox,omitempty"`
	Manifest *PluginManifest `json:"manifest,omitempty"` // of a plugin that is a directory
	Pin      *PluginPin      `json:"pin,omitempty"`
	// Negotiated are all services that it announced, and in which version host and plugin talk.
	Negotiated []Negotiated `json:"negotiated,omitempty"`
	// UnknownKinds are services that it announced and this host does not know, by number.
	UnknownKinds []int32 `json:"unknownKinds,omitempty"`
	// Homepage is where the plugin's authors say more about it.
	Homepage string `json:"homepage,omitempty"`
	// ConfigFields are the keys of [plugins.NAME.config], as the plugin describes them.
	ConfigFields []PluginConfigField `json:"configFields,omitempty"`
	Asks         []PluginAsk         `json:"asks"`    // what it asks for, and what it was given without asking
	Refused      []PluginRefusal     `json:"refused"` // what it tried to use and its sandbox refused
}

// PluginConfigField is one key of a plugin's own table.
type PluginConfigField struct {
	Path     string `json:"path"`
	Type     string `json:"type,omitempty"` // string, integer, float, boolean, array, table
	Required bool   `json:"required,omitempty"`
	Default  string `json:"default,omitempty"` // as JSON
	Doc      string `json:"doc,omitempty"`     // one sentence for the operator
}

// PluginManifest is what a plugin's directory says about the plugin.
type PluginManifest struct {
	Path      string   `json:"path"`
	Name      string   `json:"name"`
	Version   string   `json:"version"`
	Kinds     []string `json:"kinds"`
	Run       []string `json:"run"`
	Transport string   `json:"transport,omitempty"`
	SHA256    string   `json:"sha256"`
	Files     int      `json:"files"` // entries of [files]
}

// The states of a pin.
const (
	PinHolds    = "pinned"
	PinNone     = "not-pinned" // any file at its path would be run
	PinMismatch = "mismatch"   // the file is not the one that was pinned; it is not started
)

// PluginPin is which file of a plugin the operator accepts.
type PluginPin struct {
	State  string `json:"state"`
	SHA256 string `json:"sha256,omitempty"` // that config.toml wants
	Found  string `json:"found,omitempty"`  // at the plugin's path
}

// The things that a plugin can ask for.
const (
	AskGrant   = "grant"
	AskRead    = "read"
	AskWrite   = "write"
	AskNetwork = "network"
)

// PluginAsk is one thing that a plugin asks for, or was given.
type PluginAsk struct {
	What  string `json:"what"`            // grant, read, write, network
	Value string `json:"value,omitempty"` // which grant, which path
	Asked bool   `json:"asked"`
	Given bool   `json:"given"`
	Key   string `json:"key"` // of config.toml, which gives it
}

// PluginRefusal is something outside of its sandbox that a plugin tried to use.
type PluginRefusal struct {
	What  string `json:"what"`          // in words
	Key   string `json:"key,omitempty"` // of config.toml, which would give it; "" when there is none
	Times int    `json:"times"`
	Last  Time   `json:"last"`
}

// Negotiated is one service of a plugin and the result of the negotiation of its version.
type Negotiated struct {
	Service string     `json:"service"`
	Version uint32     `json:"version,omitempty"` // the highest that both speak
	Plugin  []Versions `json:"plugin"`            // what the plugin speaks
	Host    Versions   `json:"host"`
	// there is no version that both speak; its hint says which side to upgrade
	Error *Failure `json:"error,omitempty"`
}

// Versions is a range of versions, both ends included.
type Versions struct {
	Min uint32 `json:"min"`
	Max uint32 `json:"max"`
}

// The states of a sandbox; none: the platform has no sandboxes.
const (
	SandboxOn   = "on"
	SandboxOff  = "off"
	SandboxNone = "none"
)

// Sandbox is how a plugin is sandboxed.
type Sandbox struct {
	State   string   `json:"state"`
	Why     string   `json:"why,omitempty"` // it is not on
	Level   string   `json:"level"`         // what the machine can do: "landlock ABI 7"
	Read    []string `json:"read,omitempty"`
	Write   []string `json:"write,omitempty"`
	Network bool     `json:"network,omitempty"`
	Gaps    []string `json:"gaps,omitempty"` // what the plugin can still do here
}

// MarshalJSON writes lists without entries as [].
func (s Status) MarshalJSON() ([]byte, error) {
	type plain Status
	s.Gateways, s.Plugins = list(s.Gateways), list(s.Plugins)
	s.Host.Conditions = list(s.Host.Conditions)
	return json.Marshal(plain(s))
}

// MarshalJSON writes lists without entries as [].
func (g Gateway) MarshalJSON() ([]byte, error) {
	type plain Gateway
	g.Conditions, g.Drift, g.Doctors = list(g.Conditions), list(g.Drift), list(g.Doctors)
	g.Classifiers, g.Unload = list(g.Classifiers), list(g.Unload)
	return json.Marshal(plain(g))
}

// MarshalJSON writes lists without entries as [].
func (e Exit) MarshalJSON() ([]byte, error) {
	type plain Exit
	e.Tail = list(e.Tail)
	return json.Marshal(plain(e))
}

// MarshalJSON writes lists without entries as [].
func (s Session) MarshalJSON() ([]byte, error) {
	type plain Session
	s.Scopes = list(s.Scopes)
	return json.Marshal(plain(s))
}

// MarshalJSON writes lists without entries as [].
func (s Start) MarshalJSON() ([]byte, error) {
	type plain Start
	s.Stages = list(s.Stages)
	return json.Marshal(plain(s))
}

// MarshalJSON writes lists without entries as [].
func (t Trace) MarshalJSON() ([]byte, error) {
	type plain Trace
	t.Slowest = list(t.Slowest)
	return json.Marshal(plain(t))
}

// MarshalJSON writes lists without entries as [].
func (p Plugin) MarshalJSON() ([]byte, error) {
	type plain Plugin
	p.Services, p.Asks, p.Refused = list(p.Services), list(p.Asks), list(p.Refused)
	return json.Marshal(plain(p))
}

func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
