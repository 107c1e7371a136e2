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
}

// CountFile is where count-lines keeps how many lines it has printed, below the state directory: written after each line, so that
// it tells of all lines but perhaps the last one, however the process ends.
func CountFile(stateDir, launch string) string {
	return filepath.Join(stateDir, "tmp", "emulator-count-"+launch)
}

// count prints a numbered line each so many milliseconds until stop is called, which prints no more once it has returned.
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
