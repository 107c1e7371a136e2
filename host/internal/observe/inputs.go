package observe

import (
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/classifier"
)

// CrashLines is how many last lines are kept of a process that ended.
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

// Settings are the parts of a gateway's configuration that a record uses.
type Settings struct {
	Gateway           string // its name, for the commands in hints
	ReconnectAttempts int
	Silence           time.Duration
	PongTimeout       time.Duration
	Plugins           []string // those that the gateway is configured to use
}

// Sight is something that the fold is told beside the steps. The set is closed.
//
//sumtype:decl
type Sight interface{ sight() }

// The sights.
type (
	// Configured says that other settings are in force from now on.
	Configured struct{ Settings Settings }
	// Plugins has the state of all plugins of the host.
	Plugins struct{ All []Plugin }
	// Files has everything that is not well about the gateway's own files.
	Files struct{ Conditions []lifecycle.Condition }
	// Pings says how many pings in a row a session has not answered up to now.
	Pings struct {
		Session     lifecycle.SessionID
		Unanswered  int
		LastFrameAt time.Time
	}
	// ClientRefused is clients that the gateway refused because of their token, since the last sight of such clients, at
	// the time of the newest line that says so.
	ClientRefused struct {
		Launch lifecycle.LaunchID
		At     time.Time
		Number int
	}
	// InstallReplaced says that the files of the gateway's program were replaced under the process of a launch; "" means
	// the attached gateway.
	InstallReplaced struct {
		Launch lifecycle.LaunchID
		At     time.Time
	}
	// HeapExhausted is a line of a launch that says that a JavaScript runtime has used up its memory.
	HeapExhausted struct {
		Launch lifecycle.LaunchID
		At     time.Time
	}
	// StageReported is a stage of its own start that the gateway reported.
	StageReported struct {
		Launch lifecycle.LaunchID
		Stage  classifier.Stage
	}
	// Passed says that time has passed: a condition that ends by time alone ends.
	Passed struct{}
)

func (Configured) sight()      {}
func (Plugins) sight()         {}
func (Files) sight()           {}
func (Pings) sight()           {}
func (ClientRefused) sight()   {}
func (InstallReplaced) sight() {}
func (HeapExhausted) sight()   {}
func (StageReported) sight()   {}
func (Passed) sight()          {}

// Plugin is what a record uses of the state of a plugin.
type Plugin struct {
	Name       string
	Running    bool
	FirstStart bool // its first start is in progress, and nothing has failed yet
	Since      time.Time
	Problem    string // why it does not run; "" when nothing is known
}

// Codes of the conditions that this package makes; the conditions of the lifecycle have codes of their own.
const (
	codeSilent          = "silent"           // nothing came for liveness.silence: one call decides
	codeUnresponsive    = "unresponsive"     // several pings in a row had no answer
	codeTokenMismatch   = "token-mismatch"   // the gateway refuses clients because of their token
	codeInstallReplaced = "install-replaced" // the program's files were replaced under the running process
	codeOutOfMemory     = "out-of-memory"    // the last process ended since its heap was used up
	CodePluginDown      = "plugin-down"      // a plugin that this gateway uses does not run
)
