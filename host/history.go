package host

import (
	"fmt"
	"iter"
	"path/filepath"
	"time"

	"github.com/gatehost/gatehost/host/internal/api"
	"github.com/gatehost/gatehost/host/internal/httpapi"
	"github.com/gatehost/gatehost/host/internal/journal"
	"github.com/gatehost/gatehost/shared/control"
)

func journalDir(cfg *Config) string { return filepath.Join(cfg.StateDir, "journal") }

// History reads what the hosts of a configuration wrote into the journal; no host need run.
type History struct {
	cfg *Config
	r   journal.Reader
}

// OpenHistory finds the journal of a configuration. A journal that does not exist has no events.
func OpenHistory(cfg *Config) *History { return &History{cfg, journal.NewReader(journalDir(cfg))} }

// Dir returns the directory of the journal.
func (h *History) Dir() string { return journalDir(h.cfg) }

// Empty reports whether the journal has no events.
func (h *History) Empty() bool { return h.r.Oldest() == 0 }

func (h *History) known(gateway string) error {
	if _, ok := h.cfg.Gateways[gateway]; !ok && gateway != "" {
		return fmt.Errorf("there is no such gateway: %q is not in %s", gateway, h.cfg.Path)
	}
	return nil
}

// Events yields the events of a gateway, or of all for "", that come after a cursor and not before a moment; both may
// be zero. It yields an error last.
func (h *History) Events(gateway string, after uint64, since time.Time) iter.Seq2[control.Event, error] {
	return func(yield func(control.Event, error) bool) {
		err := h.known(gateway)
		if err == nil && !since.IsZero() {
			var from uint64
			from, err = h.r.At(since)
			after = max(after, from)
		}
		if err != nil {
			yield(control.Event{}, err)
			return
		}
		for e, err := range h.r.Events(after) {
			switch {
			case err != nil:
				yield(control.Event{}, err)
				return
			case gateway != "" && e.Gateway != gateway, e.Time.Before(since.Truncate(time.Millisecond)):
			case !yield(httpapi.Wire(e), nil):
				return
			}
		}
	}
}

// Logs returns lines of a gateway's output that a query selects. It does not use q.Follow.
func (h *History) Logs(gateway string, q control.LogsQuery) ([]control.LogLine, error) {
	if err := h.known(gateway); err != nil {
		return nil, err
	}
	return api.TailLines(h.r, gateway, q, ^uint64(0))
}
