package sandbox

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOldOpensAreUnderstood: their path is the first argument.
func TestOldOpensAreUnderstood(t *testing.T) {
	path := pointer(t, "/b")
	for name, row := range map[string]struct {
		nr    int
		flags uint64
		write bool
	}{
		"open":                {unix.SYS_OPEN, unix.O_RDONLY, false},
		"open for writing":    {unix.SYS_OPEN, unix.O_WRONLY, true},
		"creat":               {unix.SYS_CREAT, 0o600, true},
		"creat with any mode": {unix.SYS_CREAT, unix.O_PATH, true},
	} {
		n := notification{nr: int32(row.nr), pid: uint32(os.Getpid()), args: [6]uint64{path, row.flags}}
		if got, write, err := openedBy(n); got != "/b" || write != row.write || err != nil {
			t.Errorf("%s: %s, %v, %v", name, got, write, err)
		}
	}
}
