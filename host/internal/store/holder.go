package store

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// Holder is what host.lock says about the host that holds it. The kernel's lock decides whether there is one; this is
// how clients find it, from wherever they are.
type Holder struct {
	PID       int
	Socket    string // of its control API; "" before it is open, and of an older host
	StartTime string // of the process, opaque
}

// Announce writes into the lock where the host is. Call it again when the socket has moved.
func (s *Store) Announce(h Holder) error {
	text := fmt.Sprintf("%d\n%s\n%s\n", h.PID, h.Socket, h.StartTime)
	// the new text before the cut, because a full disk would keep an empty file from being written
	if _, err := s.lock.WriteAt([]byte(text), 0); err != nil {
		return fmt.Errorf("cannot write where the host is into its lock: %w", err)
	}
	if err := s.lock.Truncate(int64(len(text))); err != nil {
		return fmt.Errorf("cannot write where the host is into its lock: %w", err)
	}
	return nil
}

// ReadHolder reads the lock of a state directory; false when it does not say where its host is. The host may have ended
// since: its pid and start time tell.
func ReadHolder(dir string) (Holder, bool) {
	data, err := readRegular(filepath.Join(dir, lockName))
	if err != nil {
		return Holder{}, false
	}
	lines := strings.Split(string(data), "\n")
	if len(lines) < 4 { // the last line is written whole
		return Holder{}, false
	}
	pid, err := strconv.Atoi(lines[0])
	if err != nil || pid <= 0 || !filepath.IsAbs(lines[1]) || lines[2] == "" {
		return Holder{}, false
	}
	return Holder{PID: pid, Socket: lines[1], StartTime: lines[2]}, true
}
