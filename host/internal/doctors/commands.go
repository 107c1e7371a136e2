package doctors

import (
	"slices"
	"sync"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/host/internal/view"
	"github.com/gatehost/gatehost/shared/control"
)

// Bounds of the words in an event: a doctor chooses those of a command that is refused.
const (
	maxShownWords = 32
	maxShownWord  = 256
)

// refusals collects the requests of doctors that were refused in one diagnosis. It is safe for concurrent use.
type refusals struct {
	mu   sync.Mutex // guards list: the doctors of a chain are asked in their own goroutines
	list []repair.Skipped
}

func (r *refusals) add(c repair.Command) {
	if !c.Refused || c.Kind != repair.KindEvidence { // a refused plan is reported as a whole
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	same := func(s repair.Skipped) bool { return s.Doctor == c.Doctor && s.Err.Error() == c.Err.Error() }
	if !slices.ContainsFunc(r.list, same) {
		r.list = append(r.list, repair.Skipped{Doctor: c.Doctor, Err: c.Err})
	}
}

func (r *refusals) all() []repair.Skipped {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list
}

// commandRan publishes a command that was run for a doctor, or was refused.
func (d *Doctors) commandRan(c repair.Command) {
	out := commandOf(c, d.o.Target.Redact())
	d.o.Target.Publish(events.GatewayDoctorCommand, out)
	switch {
	case c.Refused:
		d.o.Log.Warn("refused to run a command for a doctor", "plugin", c.Doctor, "kind", string(c.Kind), "argv", out.Argv)
	default:
		d.o.Log.Info("ran a command for a doctor", "plugin", c.Doctor, "kind", string(c.Kind), "argv", out.Argv,
			"sandboxed", c.Sandboxed, "took", c.Took)
	}
}

func commandOf(c repair.Command, redact func(string) string) *control.DoctorCommand {
	out := &control.DoctorCommand{
		Plugin: c.Doctor, Kind: string(c.Kind), Refused: c.Refused, TimedOut: c.TimedOut, DurationMs: c.Took.Milliseconds(),
		Sandboxed: c.Sandboxed, Why: c.Unsandboxed, Argv: []string{},
	}
	for i, word := range c.Argv {
		if i == maxShownWords {
			out.Argv = append(out.Argv, "…")
			break
		}
		out.Argv = append(out.Argv, shortened(redact(word)))
	}
	if e := c.Exit; e != nil && e.Known && !c.TimedOut {
		if out.Signal = e.Signal; e.Signal == "" {
			out.Code = &e.Code
		}
	}
	if c.Err != nil {
		out.Error = view.Failure(c.Err)
		out.Error.Message = redact(out.Error.Message)
	}
	return out
}

// shortened cuts a word between two characters.
func shortened(word string) string {
	if len(word) <= maxShownWord {
		return word
	}
	cut := 0
	for i := range word {
		if i > maxShownWord {
			break
		}
		cut = i
	}
	return word[:cut] + "…"
}
