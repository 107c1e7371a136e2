package observe

import (
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/classifier"
)

// CrashLines is how many lines are kept of a process that ended.
const CrashLines = 20

// Change is one step of the lifecycle.
type Change struct {
	Before, After lifecycle.State
	Input         lifecycle.Input
	Effects       []lifecycle.Effect
	At            time.Time
	Launcher      string   // the plugin that holds the launch of After; "" when none is known to
	Tail          []string // with a new LastExit: the last lines of the newest launch, at most CrashLines
}

// Settings are the operator's words that a record needs.
type Settings struct {
	ReconnectAttempts int
	Silence           time.Duration
	PongTimeout       time.Duration
	Plugins           []string // that the gateway is configured to use
}

// Sight is something seen beside the steps. The set is closed.
//
//sumtype:decl
type Sight interface{ sight() }

// The sights.
type (
	// Configured says that other settings hold from now on.
	Configured struct{ Settings Settings }
	// Plugins is how all plugins of the host are now.
	Plugins struct{ All []Plugin }
	// Pings is how many pings in a row a session did not answer, up to now.
	Pings struct {
		Session     lifecycle.SessionID
		Unanswered  int
		LastFrameAt time.Time
	}
	// ClientRefused is clients that the gateway refused for their token, since the last sight of such, at the time of the newest line that says
	// so.
	ClientRefused struct {
		Launch lifecycle.LaunchID
		At     time.Time
		Number int
	}
	// StageTold is a stage of its own start that the gateway told of.
	StageTold struct {
		Launch lifecycle.LaunchID
		Stage  classifier.Stage
	}
	// Passed says that time has passed: what ends by time alone ends.
	Passed struct{}
)

func (Configured) sight()    {}
func (Plugins) sight()       {}
func (Pings) sight()         {}
func (ClientRefused) sight() {}
func (StageTold) sight()     {}
func (Passed) sight()        {}

// Plugin is what the host knows of a plugin, as far as a gateway that uses it is concerned.
type Plugin struct {
	Name    string
	Running bool
	Begins  bool // its first start is under way, and nothing went wrong yet
	Since   time.Time
	Problem string // why it does not run; "" when nothing is known
}

// Codes of the conditions that are made here; those of the lifecycle are added to them.
const (
	CodeSilent        = "silent"         // nothing came for the whole of liveness.silence: one call decides
	CodeUnresponsive  = "unresponsive"   // pings had no answer
	CodeTokenMismatch = "token-mismatch" // the gateway refuses clients for their token
	CodePluginDown    = "plugin-down"    // a plugin that this gateway uses does not run
)
