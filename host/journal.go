package host

import (
	"os"
	"path/filepath"

	"github.com/gatehost/gatehost/host/internal/journal"
	"github.com/gatehost/gatehost/shared/control"
)

// openJournal opens the journal and connects the hub to it, so that every event from now on outlives the host. It never
// fails: without a disk, the host supervises all the same and shows a condition.
func (h *Host) openJournal() {
	cfg := h.registry.Config()
	j, remarks := journal.Open(journalDir(cfg), journal.Options{
		MaxSize: int64(cfg.Journal.MaxSize), MaxFiles: cfg.Journal.MaxFiles, MaxRate: int64(cfg.Journal.MaxRate),
		Host: h.version, OnFault: h.journalFault, Resume: h.store.Reserve,
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
		h.log.Warn("cannot reserve disk space for the time when the disk is full", "error", err)
	}
}

// journalFault is called with an error when the journal cannot be written, and with nil when it is writable again.
func (h *Host) journalFault(err error) {
	c := control.Condition{Code: "journal-unwritable"}
	if err != nil {
		c.Message = err.Error()
		c.Hint = "events and output are kept in memory only; free disk space, or make " + journalDir(h.registry.Config()) +
			" writable again"
		h.log.Error("cannot write the journal; supervision continues, events are kept in memory only", "error", err)
		h.metrics.JournalFault()
	} else {
		h.log.Info("journal is writable again")
	}
	h.conditions.Set(c, err != nil)
}
