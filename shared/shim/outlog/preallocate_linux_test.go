package outlog_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gatehost/gatehost/shared/shim/outlog"
)

// TestBlocksThatCannotBeReservedAreAnError, so that the log lives in memory from the beginning.
func TestBlocksThatCannotBeReservedAreAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path) // not for writing
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := outlog.Preallocate(f, 4096); err == nil {
		t.Error("blocks of a file that cannot be written were reserved")
	}
}
