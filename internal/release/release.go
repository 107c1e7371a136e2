// Package release is the one place that knows how the releases of OpenClaw differ. It decides from what a gateway says of itself
// in hello-ok: its version and the methods that it advertises. It asks nobody and knows no time. Sections of docs/openclaw.md are named
// with each row.
package release

import (
	"slices"
	"strings"
)

// The methods that a decision depends on.
const (
	MethodRestart = "gateway.restart.request"
	MethodSuspend = "gateway.suspend.prepare"
	MethodInfo    = "system.info"
)

// Method is how a gateway may be asked to read its configuration again by a restart inside its process.
type Method string

// Methods. RPC is MethodRestart on the session. A signal may only be sent to a process that is ours.
const (
	RPC     Method = "rpc"
	SIGUSR2 Method = "SIGUSR2"
	SIGUSR1 Method = "SIGUSR1"
)

// Effect is what a signal does to a gateway.
type Effect string

// Effects. Unknown is to be treated as the worst of the others.
const (
	Unknown   Effect = "unknown"
	Restarts  Effect = "restarts"  // in process, same pid, announced by a shutdown event
	Kills     Effect = "kills"     // default action: no shutdown event, lock files left
	Inspector Effect = "inspector" // opens Node's inspector, a port that runs any code; nothing restarts
)

// Quirks is what a host has to know about the gateway in front of it.
type Quirks struct {
	Release string // of the row that was taken, "2026.9.6"; "" when the version is in no row
	Known   bool   // the version was measured itself; else all below is the careful default, or what the methods say

	Protocol       int  // in hello-ok; 0 is unknown: 3 or 4
	BootID         bool // hello-ok names one, which changes with each restart; else a new generation shows by the session's end only
	NeedsDevice    bool // without a device identity a session has no scopes
	RestartRequest bool // MethodRestart is there
	Suspend        bool // gateway.suspend.* are there
	SystemInfo     bool // MethodInfo is there: it proves pid and port
	Startupz       bool // /startupz is a probe; else that path is a page with status 200
	Sidecars       bool // connect is refused with startup-sidecars for a while after the port opened, and /readyz says 503
	Children       bool // it has children of its own: they end with it
	QuietStart     bool // it prints nothing before its port is open: output is no sign of progress
	StartupTrace   bool // OPENCLAW_GATEWAY_STARTUP_TRACE has it tell its stages
	ReloadKind     bool // config.schema.lookup tells what a change does: nothing, a reload, a restart

	// Limited are methods of which a client may make three calls a minute, all of them together. config.set is in none.
	Limited []string

	SIGUSR1, SIGUSR2 Effect
	// Reload is how a restart in process may be asked for, best first: the next one is for when the one before is refused. Without any,
	// stop by SIGTERM and launch again, which is the same on every release.
	Reload []Method

	// ConfigExit is the exit code of a start with an invalid configuration; 0 is unknown: 1 or 78. It proves nothing: other troubles
	// end with the same code.
	ConfigExit int
	// DoctorReplaces: `doctor --fix` puts a new file in the place of one that it can't parse, and exits 0.
	DoctorReplaces bool
	// DoctorExitLies: `doctor --fix` exits 0 although it mended nothing.
	DoctorExitLies bool
	// VagueIssues: `config validate` says "Invalid input" where others name the unknown keys.
	VagueIssues bool
}

// MaySignal reports whether that signal is known to restart this gateway. Of all other signals only SIGTERM is for a host to send.
func (q Quirks) MaySignal(m Method) bool {
	switch m {
	case SIGUSR1:
		return q.SIGUSR1 == Restarts
	case SIGUSR2:
		return q.SIGUSR2 == Restarts
	default:
		return false
	}
}

// rows are the releases that were measured, oldest first (docs/openclaw.md §12; other sections where named).
func rows() []Quirks {
	return []Quirks{
		{
			Release: "2026.3.13", Protocol: 3,
			NeedsDevice: true, // §12: connects without one, with empty scopes
			Limited:     []string{"config.apply", "config.patch"},
			QuietStart:  true,                     // docs/compatibility.md: nothing before "listening"
			SIGUSR1:     Restarts, SIGUSR2: Kills, // docs/openclaw.md §12
			ConfigExit: 1, DoctorExitLies: true, // §12: exit 0, nothing fixed
		},
		{
			Release: "2026.5.27", Protocol: 4,
			RestartRequest: true, // docs/openclaw.md §12
			Limited:        []string{"config.apply", "config.patch", MethodRestart},
			SIGUSR1:        Restarts, // §12
			SIGUSR2:        Kills,    // §12
			ConfigExit:     1,
			StartupTrace:   true, ReloadKind: true, // docs/compatibility.md
			DoctorReplaces: true, VagueIssues: true, // docs/compatibility.md
		},
		{
			Release: "2026.9.6", Protocol: 4,
			BootID: true, RestartRequest: true, Suspend: true, SystemInfo: true, // docs/openclaw.md §6, §7, §12
			StartupTrace: true,                 // §2
			ReloadKind:   true,                 // §10
			Startupz:     true, Sidecars: true, // §3
			Children: true,                         // §4
			SIGUSR1:  Inspector, SIGUSR2: Restarts, // §4
			ConfigExit: 78, // §4
		},
	}
}

// Of is what is known about a gateway of that version that advertises those methods. Versions between two rows, newer and older ones
// get the careful default: no signal at all, the RPC where it is advertised, and otherwise SIGTERM and a new launch.
func Of(version string, methods []string) Quirks {
	version = strings.TrimPrefix(strings.TrimSpace(version), "v")
	all := rows()
	i := slices.IndexFunc(all, func(q Quirks) bool { return q.Release == version })
	q := careful()
	if i >= 0 {
		q = all[i]
		q.Known = true
	}
	if len(methods) > 0 { // what it says of itself counts more than a table
		q.RestartRequest = slices.Contains(methods, MethodRestart)
		q.Suspend = slices.Contains(methods, MethodSuspend)
		q.SystemInfo = slices.Contains(methods, MethodInfo)
	}
	q.Reload = q.reload()
	return q
}

// careful is for a version that nobody measured: it may do all that any other does.
func careful() Quirks {
	return Quirks{
		SIGUSR1: Unknown, SIGUSR2: Unknown, NeedsDevice: true, Sidecars: true, Children: true, QuietStart: true, DoctorReplaces: true,
		DoctorExitLies: true, VagueIssues: true,
	}
}

// reload prefers the RPC: the gateway says itself what it does, and nothing can be hit by mistake.
func (q Quirks) reload() []Method {
	var ways []Method
	if q.RestartRequest {
		ways = append(ways, RPC)
	}
	for _, m := range []Method{SIGUSR2, SIGUSR1} {
		if q.MaySignal(m) {
			ways = append(ways, m)
		}
	}
	return ways
}
