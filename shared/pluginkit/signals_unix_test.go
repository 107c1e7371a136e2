//go:build unix

package pluginkit_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gatehost/gatehost/internal/testhost"
)

func ignoredSignals() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} }

// groupGone waits until no process of a group is left, except perhaps zombies of pid 1.
func groupGone(pid int) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if errors.Is(testhost.Signal(-pid, 0), syscall.ESRCH) || onlyZombies(pid) {
			return nil
		}
	}
	return fmt.Errorf("group %d lives on", pid)
}

// onlyZombies reports whether every process of the group has ended and waits for the process that adopted it. Linux
// only; elsewhere the adopter is init, which reaps.
func onlyZombies(group int) bool {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return false
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest) // state, parent, group
		if len(fields) > 2 && fields[2] == strconv.Itoa(group) && fields[0] != "Z" {
			return false
		}
	}
	return true
}
