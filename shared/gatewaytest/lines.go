package gatewaytest

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// FloodLine is the length of a line of flood-stderr in bytes, with its end.
const FloodLine = 100

// flood prints numbered lines as fast as they are taken and then says how long the slowest had to wait for a reader.
func (r *run) flood(lines int) {
	var slowest time.Duration
	began := time.Now()
	last := began
	for i := range lines {
		text := fmt.Sprintf("flood: line %d of %d ", i+1, lines)
		r.print(r.stderr, text+strings.Repeat("x", FloodLine-1-len(text)))
		now := time.Now()
		slowest, last = max(slowest, now.Sub(last)), now
	}
	r.print(r.stderr, fmt.Sprintf("flood: ended after %d lines in %d ms, the slowest took %d ms",
		lines, time.Since(began).Milliseconds(), slowest.Milliseconds()))
	r.tasks.Go(r.tellPrinted)
}

// tellPrinted keeps the number of all lines of the process in CountFile, from the end of a flood on.
func (r *run) tellPrinted() {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for told := -1; ; {
		r.program.mu.Lock()
		n := r.printed
		r.program.mu.Unlock()
		if n != told {
			told = n
			// a full disk keeps no count
			_ = os.WriteFile(CountFile(r.stateDir(), r.env["GATEHOST_LAUNCH_ID"]), []byte(strconv.Itoa(n)), 0o600)
		}
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			return
		}
	}
}

// CountFile is where count-lines keeps how many lines it has printed, below the state directory: written after each
// line, so that it tells of all lines but perhaps the last one, however the process ends. After a flood-stderr it holds
// the number of all lines of the process instead, at most 50 ms old.
func CountFile(stateDir, launch string) string {
	return filepath.Join(stateDir, "tmp", "emulator-count-"+launch)
}

// count prints a numbered line each so many milliseconds until stop is called, which prints no more once it has
// returned.
func (r *run) count() (stop func()) {
	every, wanted := r.script.after("count-lines")
	if !wanted || every <= 0 {
		return func() {}
	}
	launch := r.env["GATEHOST_LAUNCH_ID"]
	kept, err := os.Create(CountFile(r.stateDir(), launch))
	if err != nil {
		r.warn("gateway", "emulator: cannot count: "+err.Error())
		return func() {}
	}
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer kept.Close()
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 1; ; n++ {
			out := [...]io.Writer{r.stdout, r.stderr}[n%2]
			r.print(out, fmt.Sprintf("count %d of %s", n, launch))
			_, _ = kept.WriteAt([]byte(strconv.Itoa(n)), 0) // it only grows; a full disk keeps no count
			select {
			case <-tick.C:
			case <-over:
				return
			}
		}
	}()
	return func() {
		close(over)
		<-ended
	}
}
