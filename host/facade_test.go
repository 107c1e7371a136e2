//go:build unix

package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gatehost/gatehost/host"
	"github.com/gatehost/gatehost/shared/shim/process"
)

// TestSocketOfTheLivingHolderComesFirst: and that of one that has ended not at all, since another host may have its
// path.
func TestSocketOfTheLivingHolderComesFirst(t *testing.T) {
	self, err := process.Identify(os.Getpid())
	if err != nil {
		t.Skip("processes cannot be identified here: ", err)
	}
	for name, row := range map[string]struct {
		pid   int
		start string
		want  bool
	}{
		"it lives":                {self.PID, self.StartTime, true},
		"another one has its pid": {self.PID, self.StartTime + "0", false},
		"it has ended":            {1 << 30, self.StartTime, false},
	} {
		for _, socket := range []string{"", "[control]\nsocket = \"/configured/s\"\n"} {
			t.Run(fmt.Sprintf("%s, configured %t", name, socket != ""), func(t *testing.T) {
				dir := t.TempDir()
				if err := os.Mkdir(filepath.Join(dir, "state"), 0o700); err != nil {
					t.Fatal(err)
				}
				for file, text := range map[string]string{
					"config.toml":     "version = 1\nstate_dir = \"state\"\n" + socket,
					"state/host.lock": fmt.Sprintf("%d\n/named/by/the/lock\n%s\n", row.pid, row.start),
				} {
					if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				sockets, err := host.Sockets(filepath.Join(dir, "config.toml"))
				if err != nil || len(sockets) == 0 {
					t.Fatalf("Sockets = %v, %v", sockets, err)
				}
				if got := slices.Index(sockets, "/named/by/the/lock"); (got == 0) != row.want || got > 0 {
					t.Errorf("Sockets = %v, want the lock's first: %t", sockets, row.want)
				}
				if socket != "" && !slices.Contains(sockets, "/configured/s") {
					t.Errorf("Sockets = %v, want the configured one too", sockets)
				}
			})
		}
	}
}
