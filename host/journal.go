package host

import (
	"os"
	"path/filepath"
	"time"

	"github.com/gatehost/gatehost/host/internal/journal"
	"github.com/gatehost/gatehost/shared/control"
)

// openJournal makes everything that happens from now on outlive the host. It never fails: without a disk the host supervises all
// the same, and says so.
func (h *Host) openJournal() {
	cfg := h.registry.Config()
	j, remarks := journal.Open(journalDir(cfg), journal.Options{
		MaxSize: int64(cfg.Journal.MaxSize), MaxFiles: cfg.Journal.MaxFiles, Host: h.version, OnFault: h.journalFault,
	})
	for _, r := range remarks {
		h.log.Warn("journal", "remark", r)
	}
	j.Keep(func(launch string) bool {
		_, err := os.Stat(filepath.Join(h.store.RunDir(), launch))
		return err == nil
	})
	h.journal = j
	h.hub.Persist(j)
	if err := h.store.Reserve(); err != nil {
		h.log.Warn("no room is set aside for a full disk", "error", err)
	}
}

// journalFault is told when the journal cannot be written, and with nil when it can again.
func (h *Host) journalFault(err error) {
	c := control.Condition{Code: "journal-unwritable"}
	if err != nil {
		c.Message = err.Error()
		c.Hint = "events and output are kept in memory only; make room in, or give back, " + journalDir(h.registry.Config())
		h.log.Error("cannot keep what happens; supervision goes on", "error", err)
		h.metrics.JournalFault()
	} else {
		h.log.Info("what happens is kept on disk again")
		if err := h.store.Reserve(); err != nil { // given up by a launch while the disk was full
			h.log.Warn("no room is set aside for a full disk", "error", err)
		}
	}
	h.conditions.Set(c, err != nil)
}

// at is the cursor after which the events of a moment and later begin; 0 when only memory has any.
func (h *Host) at(t time.Time) uint64 {
	cursor, err := h.journal.At(t)
	if err != nil {
		h.log.Warn("cannot read the journal", "error", err)
		return 0
	}
	return cursor
}
