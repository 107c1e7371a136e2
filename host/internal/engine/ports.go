package engine

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/observe"
	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Ports are the interfaces through which an engine reaches everything else. All are called from goroutines of the
// engine, several at a time, and must honour ctx.
type Ports struct {
	Launcher launcher.Launcher
	// Services inspects the configured unloaders and unloads the services that they may unload.
	Services Services
	Probe    Probe
	Launches Launches
	Sessions Sessions
	Hooks    Hooks
	// Preflight looks for what would make the next start fail.
	Preflight Preflight
	Control   GatewayControl
	Output    OutputOpener
	Doctors   Doctors
	Observer  Observer
	// Plugins is how all plugins of the host are now; read by the owner after Look. nil: there are none.
	Plugins func() []observe.Plugin
	// Files is what is not well about the gateway's own files now; read by the owner after Look. nil: nothing ever is.
	Files func() []lifecycle.Condition
	// Observe are the first settings of the record.
	Observe observe.Settings

	// VerifyMethod is the one call that decides whether a silent gateway is alive, within VerifyTimeout (B274).
	// Default: system-presence, 5 s.
	VerifyMethod  string
	VerifyTimeout time.Duration
}

// Services clears platform services that also manage the gateway.
type Services interface {
	Clear(ctx context.Context) error
}

// Probe asks the port.
type Probe interface {
	// Holder says who has the port. Unless it is free, the problem names the program. An error means that it could not
	// be found out.
	Holder(ctx context.Context) (lifecycle.Holder, lifecycle.Problem, error)
	// Free says whether nothing has the port. It is cheap: it is asked every few seconds.
	Free(ctx context.Context) (bool, error)
	// Ready says whether a connect may succeed. Port 0 is the configured one.
	Ready(ctx context.Context, port int) lifecycle.Readiness
}

// Preflight looks for what would make the next start fail. It changes nothing.
type Preflight interface {
	// Check returns the first fault, with what to do about it; nil when the next start may succeed, or when that cannot be
	// found out.
	Check(ctx context.Context) error
}

// Hooks runs the operator's programs before a launch.
type Hooks interface {
	// Run fails when a required one fails. When it returns, none of them runs any more.
	Run(ctx context.Context) error
}

// GatewayControl asks a gateway to do something by itself; what it can be asked depends on its release.
type GatewayControl interface {
	// Reload asks it to restart within its process. Launch is "" for an attached gateway: only a call may be used for
	// it. fault.Unsupported: this release knows no way.
	Reload(ctx context.Context, s Session, launch lifecycle.LaunchID) error
	// Drain asks it to take no more work and waits until the work in flight has ended.
	Drain(ctx context.Context, s Session) error
	// Shutdown asks an attached gateway to end itself. fault.Unsupported: it knows no such call.
	Shutdown(ctx context.Context, s Session) error
}

// Launches makes launch identities durable and builds the launches under them.
type Launches interface {
	// Prepare stores a new identity on disk.
	Prepare(ctx context.Context) (lifecycle.LaunchID, error)
	// Align builds the launch under an identity, once, keeps it for Request, and makes the gateway's own configuration
	// agree with it. An error does not prevent the launch.
	Align(ctx context.Context, id lifecycle.LaunchID) error
	// Request returns what Align built. It changes nothing. Called once for each launch, after Align.
	Request(ctx context.Context, id lifecycle.LaunchID) (launcher.LaunchRequest, error)
	// Drift compares a live launch of an earlier host with one that would be launched now: the settings that differ,
	// and the port that it has (0: the configured one).
	Drift(launch launcher.Instance) (drift []string, port int)
	// HeldBy is the plugin that holds the launch of a state; "" when none is known to. It must not block.
	HeldBy(s lifecycle.State) string
	// Discard removes an identity whose launch had no process or has been released.
	Discard(id lifecycle.LaunchID)
}

// Sessions opens sessions with the gateway.
type Sessions interface {
	// Open dials once. An error of type *Refused tells the lifecycle more than its text. One goroutine calls events,
	// never before Open has returned. Port 0 is the configured one.
	Open(ctx context.Context, port int, events SessionEvents) (Session, lifecycle.Hello, error)
}

// SessionEvents are the reports of an open session.
type SessionEvents struct {
	// Alive says that a frame came.
	Alive func()
	// Pings says that the number of pings in a row without an answer has changed; the figures are in Stats.
	Pings func()
	// Closed says that the session is over; called once, last, also after Close.
	Closed func(SessionEnd)
}

// SessionEnd is how a session ended.
type SessionEnd struct {
	Code     int
	Announce lifecycle.Announce
	Expected time.Duration
}

// Session is an open session.
type Session interface {
	// Call makes one RPC; ctx bounds it.
	Call(ctx context.Context, method string, params json.RawMessage) (json.RawMessage, error)
	// Stats are figures for status; they may be zero.
	Stats() SessionStats
	// Close ends it politely, in the background, bounded.
	Close()
}

// SessionStats are facts about an open session: what the gateway said when it opened, and its figures.
type SessionStats struct {
	session.Hello
	session.Stats
}

// Refused is the reason why a session could not be opened.
type Refused struct {
	Retryable  bool
	RetryAfter time.Duration
	Problem    lifecycle.Problem
}

// Error is the problem's text.
func (r *Refused) Error() string { return r.Problem.Message }

// OutputOpener begins the processing of a launch's output.
type OutputOpener interface {
	Open(id lifecycle.LaunchID, events OutputEvents) Output
}

// OutputEvents are the reports of the processing of output.
type OutputEvents struct {
	// Activity says that lines came; it may be called often.
	Activity func()
	// See hands on what a line showed beside its symptom.
	See func(observe.Sight)
	// Symptom says that a line showed something.
	Symptom func(plugin.Symptom, plugin.Line)
}

// Output processes the output of one launch. Feed is called by one goroutine.
type Output interface {
	// Feed takes the next item; it blocks only as long as the pipeline is behind.
	Feed(ctx context.Context, item launcher.OutputItem) error
	// Cursor is where to go on after a break.
	Cursor() uint64
	// Drained waits until all items are processed, or ctx is done.
	Drained(ctx context.Context)
	// Tail is the last lines, oldest first, redacted.
	Tail(n int) []plugin.Line
	// Symptoms are the symptoms that the lines showed, each once, in order.
	Symptoms() []plugin.Symptom
	// Close ends the processing and waits for it.
	Close()
}

// Doctors asks the doctors and executes what they propose.
type Doctors interface {
	// Diagnose asks about a failed start attempt whose gateway has written these lines last, with these meanings. It
	// never fails: without a doctor it finds nothing.
	Diagnose(
		ctx context.Context, in lifecycle.Incident, lines []plugin.Line, symptoms []plugin.Symptom,
	) lifecycle.Diagnosed
	// Repair executes the plan that Diagnose proposed under that name, and no other: it fails when that is not the plan
	// that was proposed last. fault.PluginGone means that what it did is unknown.
	Repair(ctx context.Context, plan lifecycle.PlanID) error
}

// Observer gets every step, and then the facts that came of it, from the owner goroutine. It must not block and must
// not call the engine. The snapshot shows them already.
type Observer interface {
	Stepped(c observe.Change)
	// Observed is told of facts: those of a step, or those that a sight beside the steps showed.
	Observed(facts []observe.Fact)
}
