package pluginhost

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/internal/stamp"
)

const (
	keptLines    = 64       // raw lines for the crash report
	maxLogLine   = 8 << 10  // bytes of a log line; the rest is cut
	maxHandshake = 32 << 10 // go-plugin's scanner gives up at 64 KiB and then blocks the plugin (R39)
	linesPerSec  = 200      // forwarded; a flood is counted instead
	lineBurst    = 1000
	lineBytes    = 512         // of a line that counts as one; a longer one counts as several
	saysDropped  = time.Second // after the first line that was dropped
	keptPrinted  = 8           // lines on stdout
)

// logs forwards a plugin's stderr to the host's log and keeps its last raw lines.
type logs struct {
	out    hclog.Logger
	known  *redact.Known
	onLine func(line string) // is called with each line that is forwarded

	mu      sync.Mutex // guards all below
	lines   redact.Lines
	ring    []string
	tokens  float64
	filled  time.Time
	dropped int
	printed []string // the first lines that came on stdout, where only the handshake should
}

func newLogs(out hclog.Logger, known *redact.Known, onLine func(line string)) *logs {
	return &logs{out: out, known: known, onLine: onLine, tokens: lineBurst, filled: time.Now()}
}

// read takes lines until the end of r, which is io.EOF, or an error.
func (l *logs) read(r io.Reader) error {
	err := eachLine(r, maxLogLine, l.take)
	l.report() // now, because the end is reported next
	return err
}

func (l *logs) take(line string) {
	line = l.clean(line)
	l.keep(line)
	if l.allowed(len(line)) {
		l.forward(line)
		l.onLine(line)
	}
}

// clean makes a line printable and hides its secrets: in a line of hclog's JSON by the names of its fields, too.
func (l *logs) clean(line string) string {
	if fields, ok := decodeEntry(line); ok {
		var out strings.Builder
		encoder := json.NewEncoder(&out)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(l.known.Redactor().Value(fields)); err == nil {
			return strings.TrimSuffix(out.String(), "\n")
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Line(l.known.Redactor(), line)
}

// takePrinted handles a line of stdout that came by go-plugin's stream.
func (l *logs) takePrinted(line string) {
	l.print(line)
	l.take(line)
}

// print remembers a line of stdout.
func (l *logs) print(line string) {
	line = l.clean(line)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.printed) < keptPrinted {
		l.printed = append(l.printed, line)
	}
}

func (l *logs) printedLines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.printed)
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

// allowed is a token bucket: a plugin that floods its log must not flood ours, by many lines or by long ones.
func (l *logs) allowed(size int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.tokens = min(lineBurst, l.tokens+now.Sub(l.filled).Seconds()*linesPerSec)
	l.filled = now
	cost := 1 + float64(size/lineBytes)
	if l.tokens < cost {
		// not with the next line that passes: that may never come, or come 200 times a second
		if l.dropped++; l.dropped == 1 {
			time.AfterFunc(saysDropped, l.report)
		}
		return false
	}
	l.tokens -= cost
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

// forward reads hclog's JSON; any other line is logged unchanged at warn: a traceback must not vanish (R39).
func (l *logs) forward(line string) {
	e, ok := parseEntry(line)
	switch {
	case ok:
		l.out.Log(e.level, e.message, e.fields...)
	case strings.TrimSpace(line) != "":
		l.out.Warn("plugin output", "line", stamp.Trim(line))
	}
}

// entry is a line of hclog's JSON.
type entry struct {
	level   hclog.Level
	message string
	fields  []any // key, value
}

// decodeEntry decodes a line of hclog's JSON.
func decodeEntry(line string) (map[string]any, bool) {
	if !strings.HasPrefix(line, "{") {
		return nil, false
	}
	decoder := json.NewDecoder(strings.NewReader(line))
	decoder.UseNumber()
	var fields map[string]any
	if decoder.Decode(&fields) != nil || fields["@message"] == nil {
		return nil, false
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) { // something follows, which must not vanish
		return nil, false
	}
	return fields, true
}

// parseEntry reads a line that is clean.
func parseEntry(line string) (entry, bool) {
	fields, ok := decodeEntry(line)
	if !ok {
		return entry{}, false
	}
	text, _ := fields["@message"].(string)
	e := entry{level: hclog.Warn, message: redact.PrintableLine(text)} // a second line could pass for one of ours
	word, _ := fields["@level"].(string)
	if level := hclog.LevelFromString(word); level != hclog.NoLevel {
		e.level = level
	}
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		if !strings.HasPrefix(k, "@") {
			e.fields = append(e.fields, k, fields[k])
		}
	}
	return e, true
}

// brief returns a line for an error; "" for lines that only a developer of the plugin needs.
func brief(line string) string {
	e, ok := parseEntry(line)
	switch {
	case !ok:
		return strings.TrimSpace(line)
	case e.level <= hclog.Debug:
		return ""
	}
	var out strings.Builder
	out.WriteString(e.message)
	for i := 0; i+1 < len(e.fields); i += 2 {
		fmt.Fprintf(&out, " %v=%v", e.fields[i], e.fields[i+1])
	}
	return out.String()
}

// lineWriter splits its input into lines. Used by one goroutine.
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

// eachLine calls f for each line, cut at limit bytes, until the end of r. It accepts lines of any length.
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
