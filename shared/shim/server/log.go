//go:build unix

package server

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gatehost/gatehost/shared/shim"
)

const maxLog = 64 << 10

// logger writes shim.log and begins it anew when it is full. No value of the environment may get into it.
type logger struct {
	mu   sync.Mutex // guards the rest
	f    *os.File
	size int64
}

// openLog makes the file our standard error too, so that a panic is found there.
func openLog(dir string) *logger {
	f, err := os.OpenFile(filepath.Join(dir, shim.LogFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return &logger{}
	}
	_ = replace(int(f.Fd()), 2)
	return &logger{f: f}
}

func (l *logger) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return
	}
	if l.size > maxLog && l.f.Truncate(0) == nil {
		l.size = 0
	}
	n, _ := fmt.Fprintf(l.f, "%s %s\n", time.Now().UTC().Format(time.RFC3339Nano), fmt.Sprintf(format, args...))
	l.size += int64(n)
}
