// Package release is the one place that knows how the releases of OpenClaw differ. It decides from what a gateway
// says about itself in hello-ok: its version and the methods that it advertises. It does no I/O and reads no clock.
// The sections that the rows name are those of docs/openclaw.md.
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

// Method is a way to make a gateway read its configuration again by a restart inside its process.
type Method string

// Methods. RPC is MethodRestart on the session. A signal may only be sent to a process that gatehost started.
const (
	RPC     Method = "rpc"
	SIGUSR2 Method = "SIGUSR2"
	SIGUSR1 Method = "SIGUSR1"
)

// Effect is what a signal does to a gateway.
type Effect string

// Effects. Treat Unknown as the worst of the others.
const (
	Unknown   Effect = "unknown"
	Restarts  Effect = "restarts"  // in process, same pid, announced by a shutdown event
	Kills     Effect = "kills"     // default action: no shutdown event, lock files left
	Inspector Effect = "inspector" // opens Node's inspector, a port that runs any code; nothing restarts
)

// Quirks holds what a host has to know about the gateway that it talks to.
type Quirks struct {
	Release string // of the row that was taken, "2026.9.6"; "" when the version is in no row
	Known   bool   // this version was measured; else everything below is the careful default, or what the methods say

	Protocol int // in hello-ok; 0 is unknown: 3 or 4
	// hello-ok names one, which changes with each restart; else only the end of the session shows a new generation
	BootID         bool
	NeedsDevice    bool // without a device identity a session has no scopes
	RestartRequest bool // MethodRestart exists
	Suspend        bool // gateway.suspend.* exist
	SystemInfo     bool // MethodInfo exists: it proves pid and port
	Startupz       bool // /startupz is a probe; else that path is a page with status 200
	// connect is refused with startup-sidecars for a while after the port opened, and /readyz says 503
	Sidecars     bool
	Children     bool // it has children of its own: they end with it
	QuietStart   bool // it prints nothing before its port is open: output is no sign of progress
	StartupTrace bool // OPENCLAW_GATEWAY_STARTUP_TRACE makes it report its stages
	ReloadKind   bool // config.schema.lookup says what a change does: nothing, a reload, a restart

	// Limited are methods of which a client may make three calls a minute, all of them together. config.set is not
	// limited.
	Limited []string

	SIGUSR1, SIGUSR2 Effect
	// Reload lists the ways to request a restart in process, best first: the next one is for when the one before is
	// refused. Without any, stop by SIGTERM and launch again, which is the same on every release.
	Reload []Method

	// ConfigExit is the exit code of a start with an invalid configuration; 0 is unknown: 1 or 78. It proves
	// nothing: other failures end with the same code.
	ConfigExit int
	// DoctorReplaces: `doctor --fix` replaces a file that it cannot parse by a new one, and exits 0.
	DoctorReplaces bool
	// DoctorExitLies: `doctor --fix` exits 0 although it repaired nothing.
	DoctorExitLies bool
	// VagueIssues: `config validate` says "Invalid input" where others name the unknown keys.
	VagueIssues bool
}

// MaySignal reports whether that signal is known to restart this gateway. Of all other signals a host may only send
// SIGTERM.
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

// Of returns what is known about a gateway of that version that advertises those methods. Versions between two
// rows, newer and older ones get the careful default: no signal at all, the RPC where it is advertised, and
// otherwise SIGTERM and a new launch.
func Of(version string, methods []string) Quirks {
	version = strings.TrimPrefix(strings.TrimSpace(version), "v")
	all := rows()
	i := slices.IndexFunc(all, func(q Quirks) bool { return q.Release == version })
	q := careful()
	if i >= 0 {
		q = all[i]
		q.Known = true
	}
	if len(methods) > 0 { // what the gateway says about itself counts more than a table
		q.RestartRequest = slices.Contains(methods, MethodRestart)
		q.Suspend = slices.Contains(methods, MethodSuspend)
		q.SystemInfo = slices.Contains(methods, MethodInfo)
	}
	q.Reload = q.reload()
	return q
}

// careful is for a version that was not measured: it may do everything that any other does.
func careful() Quirks {
	return Quirks{
		SIGUSR1: Unknown, SIGUSR2: Unknown, NeedsDevice: true, Sidecars: true, Children: true, QuietStart: true,
		DoctorReplaces: true,
		DoctorExitLies: true, VagueIssues: true,
	}
}

// reload prefers the RPC: the gateway itself says what it does, and it cannot reach another process.
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
