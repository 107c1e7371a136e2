package pluginhost

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	keptLines    = 64       // raw lines for the crash report
	maxLogLine   = 8 << 10  // bytes of a log line; the rest is cut
	maxHandshake = 32 << 10 // go-plugin's scanner gives up at 64 KiB and then blocks the plugin (R39)
	linesPerSec  = 200      // forwarded; a flood is counted instead
	lineBurst    = 1000
)

// logs forwards a plugin's stderr to the host's log and keeps its last raw lines.
type logs struct {
	out hclog.Logger

	mu      sync.Mutex // guards all below
	ring    []string
	tokens  float64
	filled  time.Time
	dropped int
}

func newLogs(out hclog.Logger) *logs {
	return &logs{out: out, tokens: lineBurst, filled: time.Now()}
}

func (l *logs) read(r io.Reader) {
	_ = eachLine(r, maxLogLine, l.take)
	l.report()
}

func (l *logs) take(line string) {
	l.keep(line)
	if l.allowed() {
		l.report()
		l.forward(line)
	}
}

// keep stores a raw line for the crash report.
func (l *logs) keep(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ring) == keptLines {
		l.ring = slices.Delete(l.ring, 0, 1)
	}
	l.ring = append(l.ring, line)
}

func (l *logs) last() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.ring)
}

// allowed is a token bucket: a plugin that floods its log may not flood ours.
func (l *logs) allowed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.tokens = min(lineBurst, l.tokens+now.Sub(l.filled).Seconds()*linesPerSec)
	l.filled = now
	if l.tokens < 1 {
		l.dropped++
		return false
	}
	l.tokens--
	return true
}

func (l *logs) report() {
	l.mu.Lock()
	n := l.dropped
	l.dropped = 0
	l.mu.Unlock()
	if n > 0 {
		l.out.Warn("plugin floods its log; lines were dropped", "dropped", n)
	}
}

// forward reads hclog's JSON; anything else is shown as it is, at warn: a traceback must not vanish (R39).
func (l *logs) forward(line string) {
	var fields map[string]any
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &fields) != nil || fields["@message"] == nil {
		if strings.TrimSpace(line) != "" {
			l.out.Warn("plugin output", "line", line)
		}
		return
	}
	message, _ := fields["@message"].(string)
	word, _ := fields["@level"].(string)
	level := hclog.LevelFromString(word)
	if level == hclog.NoLevel {
		level = hclog.Warn
	}
	var args []any
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		if !strings.HasPrefix(k, "@") {
			args = append(args, k, fields[k])
		}
	}
	l.out.Log(level, message, args...)
}

// lineWriter cuts what is written into lines. Used by one goroutine.
type lineWriter struct {
	take    func(string)
	pending []byte
}

// Write never fails; a line that is too long is cut.
func (w *lineWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		w.pending = append(w.pending, line[:min(len(line), maxLogLine-len(w.pending))]...)
		if ended {
			w.take(strings.ToValidUTF8(strings.TrimRight(string(w.pending), "\r"), "\uFFFD"))
			w.pending = w.pending[:0]
		}
		rest = after
	}
	return len(p), nil
}

// eachLine calls f for each line, cut at limit bytes, until the end of r. It reads on whatever the length of a line.
func eachLine(r io.Reader, limit int, f func(string)) error {
	in := bufio.NewReaderSize(r, limit)
	for {
		line, err := in.ReadSlice('\n')
		if len(line) > 0 {
			f(strings.ToValidUTF8(strings.TrimRight(string(line), "\r\n"), "\uFFFD"))
		}
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of a long line
			_, err = in.ReadSlice('\n')
		}
		if err != nil {
			return err
		}
	}
}
