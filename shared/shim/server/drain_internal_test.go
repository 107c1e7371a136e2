//go:build unix

package server

import (
	"os"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/outlog"
)

// piped returns a supervisor that reads two pipes, and the other ends of those.
func piped(t *testing.T) (s *supervisor, ends [2]*os.File) {
	t.Helper()
	s = testSupervisor(t, shim.Spec{LaunchID: "pipes"})
	for i := range ends {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		s.pipes[i], ends[i], s.readers[i] = r, w, make(chan bool, 1)
		t.Cleanup(func() { _ = w.Close() })
	}
	return s, ends
}

func written(t *testing.T, s *supervisor) string {
	t.Helper()
	batch, err := s.out.Read(0).Next()
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for _, r := range batch.Records {
		text = append(text, r.Data...)
	}
	return string(text)
}

// TestOutputIsReadToItsEnd: or given up when a process still holds a pipe, and is silent or never silent.
func TestOutputIsReadToItsEnd(t *testing.T) {
	for _, row := range []struct {
		name     string
		since    time.Duration // how long ago the gateway ended
		first    func(*os.File)
		whole    bool
		from, to time.Duration
	}{
		{"both have ended", 0, func(w *os.File) { _ = w.Close() }, true, 0, drainQuiet},
		{"one is held", 0, func(*os.File) {}, false, drainQuiet, drainMost},
		{"one is held, and speaks on", drainMost - 500*time.Millisecond, func(w *os.File) {
			go func() {
				for {
					if _, err := w.WriteString("."); err != nil {
						return
					}
					time.Sleep(drainQuiet / 10)
				}
			}()
		}, false, 400 * time.Millisecond, drainMost},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, ends := piped(t)
			for i, w := range ends {
				if _, err := w.WriteString("x"); err != nil {
					t.Fatal(err)
				}
				go s.read(s.pipes[i], outlog.Stdout+outlog.Stream(i), s.readers[i])
			}
			row.first(ends[0])
			_ = ends[1].Close()
			from := time.Now()
			if whole := s.drain(from.Add(-row.since)); whole != row.whole {
				t.Errorf("whole %t", whole)
			}
			if took := time.Since(from); took < row.from || took > row.to+busyMachine {
				t.Errorf("it took %v, want %v to %v", took, row.from, row.to)
			}
			if text := written(t, s); len(text) < 2 || text[0] != 'x' {
				t.Errorf("output %q", text)
			}
		})
	}
}

// busyMachine is how much longer a busy machine may take.
const busyMachine = 10 * time.Second

// TestOutputIsWholeWhenBothPipesCameToTheirEnds: one that is given up may have done so at that moment.
func TestOutputIsWholeWhenBothPipesCameToTheirEnds(t *testing.T) {
	for _, first := range []bool{true, false} {
		for _, second := range []bool{true, false} {
			for _, givenUp := range []bool{true, false} {
				s, _ := piped(t)
				s.readers[0] <- first
				if !givenUp {
					s.readers[1] <- second
				} else {
					go func() {
						_, _ = s.pipes[1].Read(make([]byte, 1)) // until its deadline
						s.readers[1] <- second
					}()
				}
				if whole := s.drain(time.Now().Add(-drainMost)); whole != (first && second) {
					t.Errorf("first %t, second %t, given up %t: whole %t", first, second, givenUp, whole)
				}
				for _, r := range s.pipes {
					_ = r.Close()
				}
			}
		}
	}
}

// TestRestOfAPipeIsReadWithoutWaiting: what lies there when it is given up.
func TestRestOfAPipeIsReadWithoutWaiting(t *testing.T) {
	for _, row := range []struct {
		name   string
		do     func(r, w *os.File)
		eof    bool
		output string
	}{
		{"held", func(_, w *os.File) { _, _ = w.WriteString("the rest") }, false, "the rest"},
		{"ended", func(_, w *os.File) { _, _ = w.WriteString("the rest"); _ = w.Close() }, true, "the rest"},
		{"held and empty", func(_, _ *os.File) {}, false, ""},
		{"closed by us", func(r, w *os.File) { _ = r.Close(); _ = w.Close() }, false, ""},
	} {
		s, ends := piped(t)
		row.do(s.pipes[0], ends[0])
		if eof := s.rest(s.pipes[0], outlog.Stdout, make([]byte, 4)); eof != row.eof {
			t.Errorf("%s: at its end %t", row.name, eof)
		}
		if text := written(t, s); text != row.output {
			t.Errorf("%s: output %q", row.name, text)
		}
	}
}
