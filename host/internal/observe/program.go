package observe

import (
	"cmp"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
)

// replaced remembers that the files of the gateway's program were replaced under a running process. What it has not
// loaded yet it can't load any more, so that calls fail until another process runs.
type replaced struct {
	launch lifecycle.LaunchID
	boot   string // of an attached gateway, which has no launch
	since  time.Time
}

// replacedUnder returns what is remembered after a sight: the first time of one process counts.
func (r Record) replacedUnder(s InstallReplaced) replaced {
	next := replaced{launch: s.Launch, since: s.At}
	switch {
	case s.Launch == "" && r.state.Owner() == lifecycle.OwnerAttached:
		next.boot = bootOf(r.state)
	case s.Launch == "", s.Launch != r.state.Launch && (r.state.Launch != "" || s.Launch != r.ended.launch):
		return r.replaced // of another process than the present or the last one
	}
	if have := r.replaced; have.shown() && have.launch == next.launch && have.boot == next.boot {
		return have
	}
	return next
}

func bootOf(s lifecycle.State) string {
	if s.LastHello == nil {
		return ""
	}
	return s.LastHello.BootID
}

func (p replaced) shown() bool { return !p.since.IsZero() }

// follow forgets what is remembered once another process runs, or none is to run. Until then it explains why the
// gateway is gone: OpenClaw ends itself when it has noticed.
func (p replaced) follow(s lifecycle.State) replaced {
	another := p.launch != s.Launch || p.launch == "" && p.boot != bootOf(s)
	if s.Phase == lifecycle.PhaseStopped || s.Public() == lifecycle.Running && another {
		return replaced{}
	}
	return p
}

func (r Record) replacedCondition() lifecycle.Condition {
	c := lifecycle.Condition{
		Code: codeInstallReplaced, Since: r.replaced.since,
		Message: "the files of the gateway's program were replaced while it ran (STALE_INSTALL): it can't load the rest of " +
			"itself and refuses calls",
		Hint: "run `gatehost restart " + r.settings.named() + "` when the installation is complete",
	}
	if r.replaced.launch == "" {
		c.Hint = "restart the gateway where it was started; gatehost did not start it"
	}
	return c
}

// heapFor is how long the condition of a gateway that used up its heap lasts.
const heapFor = time.Hour

// heap remembers a process that ended since it had used up the memory that its runtime gives it. The gateway is started
// again by itself, and then nothing else shows why it was gone.
type heap struct {
	launch lifecycle.LaunchID
	at     time.Time
	ended  bool // the process is known to have ended abnormally; another program may have written the line
}

// exhausted returns what is remembered after such a line. The line and the end come in any order.
func (r Record) exhausted(s HeapExhausted) heap {
	return heap{
		launch: s.Launch, at: s.At,
		ended: s.Launch == r.ended.launch && crashed(r.state.LastExit),
	}
}

// ends returns what is remembered after the end of a launch.
func (h heap) ends(launch lifecycle.LaunchID, x *lifecycle.Exit) heap {
	if h.launch != "" && h.launch == launch && crashed(x) {
		h.ended = true
	}
	return h
}

// crashed reports whether a process ended by a signal; a shell in front of it reports that by a code.
func crashed(x *lifecycle.Exit) bool { return x != nil && x.Known && (x.Signal != "" || x.Code > 128) }

func (h heap) shown(now time.Time) bool { return h.ended && now.Sub(h.at).Abs() <= heapFor }

func (r Record) heapCondition() lifecycle.Condition {
	return lifecycle.Condition{
		Code: codeOutOfMemory, Since: r.heap.at,
		Message: "the gateway ended since it had used up the memory that Node.js gives it (JavaScript heap out of memory)",
		Hint: "set NODE_OPTIONS = \"--max-old-space-size=4096\" (MiB) in [gateways." + r.settings.named() +
			".launch.env] of config.toml, if the machine has as much memory, then run `gatehost config reload` and " +
			"`gatehost restart " + r.settings.named() + "`",
	}
}

// named is the gateway's name in a command.
func (s Settings) named() string { return cmp.Or(s.Gateway, "NAME") }
