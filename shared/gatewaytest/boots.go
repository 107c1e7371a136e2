package gatewaytest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// bootLog remembers starts that were not ended in order: three within 300 s trip the breaker (docs/openclaw.md §4).
type bootLog struct {
	path string
	own  string
}

func (p *program) boots() *bootLog {
	return &bootLog{
		path: filepath.Join(p.stateDir(), "tmp", "emulator-boots"),
		own:  fmt.Sprintf("%d %d", time.Now().UnixMilli(), os.Getpid()),
	}
}

func (b *bootLog) lines() []string {
	data, _ := os.ReadFile(b.path) //nolint:gosec // our own; absent is empty
	var out []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		at, _, _ := strings.Cut(line, " ")
		ms, err := strconv.ParseInt(at, 10, 64)
		if err == nil && time.Since(time.UnixMilli(ms)) < 300*time.Second {
			out = append(out, line)
		}
	}
	return out
}

func (b *bootLog) unclean() int { return len(b.lines()) }

func (b *bootLog) begin() { b.write(append(b.lines(), b.own)) }

func (b *bootLog) clean() {
	var rest []string
	for _, l := range b.lines() {
		if l != b.own {
			rest = append(rest, l)
		}
	}
	b.write(rest)
}

func (b *bootLog) write(lines []string) {
	_ = os.WriteFile(b.path, []byte(strings.Join(lines, "\n")+"\n"), 0o600) // a full disk keeps no log
}
