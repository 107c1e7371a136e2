package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// output is what was read of a run so far.
type output struct {
	lines  []plugin.Line
	cursor uint64
	gaps   int
	end    *launcher.End
	after  int // items after the end
}

func (o *output) has(text string) bool {
	return slices.ContainsFunc(o.lines, func(l plugin.Line) bool { return l.Text == text })
}

var errEnough = errors.New("enough was read")

// readBound bounds the wait for lines that a check needs.
const readBound = 30 * time.Second

// read follows the output from a cursor until there is enough, or its end.
func (r *run) read(ctx context.Context, p Process, from uint64, enough func(*output) bool) (*output, error) {
	o := &output{cursor: from}
	return o, r.more(ctx, p, o, enough)
}

// more continues to read at the end of o.
func (r *run) more(ctx context.Context, p Process, o *output, enough func(*output) bool) error {
	bound, cancel := context.WithTimeout(ctx, readBound)
	defer cancel()
	err := client(p).Output(bound, launcher.OutputRequest{LaunchID: r.req.LaunchID, Cursor: o.cursor, Follow: true},
		func(item launcher.OutputItem) error {
			if o.end != nil {
				o.after++
			}
			switch item := item.(type) {
			case *launcher.LineBatch:
				o.lines = append(o.lines, item.Lines...)
				o.cursor = item.Lines[len(item.Lines)-1].Cursor
			case *launcher.Gap:
				o.gaps, o.cursor = o.gaps+1, item.To
			case *launcher.End:
				o.end = item
			case *launcher.Heartbeat:
			}
			if enough(o) {
				return errEnough
			}
			return nil
		})
	switch {
	case err == nil, errors.Is(err, errEnough):
		return nil
	case errors.Is(err, context.DeadlineExceeded) && bound.Err() != nil:
		return breach("pass lines on when they come",
			"after %v of Output %d lines have come, and not what was printed; the last is %q", readBound, len(o.lines),
			o.last())
	}
	if lost := r.rn.lost(p, "Launcher.Output", err); lost != nil {
		return lost
	}
	return breach("see the comments of Output", "Output fails: %v", fault.FromStatus(err))
}

func (o *output) last() string {
	if len(o.lines) == 0 {
		return ""
	}
	return o.lines[len(o.lines)-1].Text
}

// numbered checks that the numbered lines of each output are complete, in order and there once.
func (o *output) numbered(lines int) error {
	if o.gaps > 0 {
		return breach("keep output_max_bytes of output",
			"%d gaps in an output that is far smaller than output_max_bytes", o.gaps)
	}
	for _, s := range []struct {
		stream plugin.Stream
		word   string
	}{{plugin.Stdout, "out"}, {plugin.Stderr, "err"}} {
		next := 1
		for _, l := range o.lines {
			if !strings.HasPrefix(l.Text, s.word+" ") {
				continue
			}
			if want := fmt.Sprintf("%s %d", s.word, next); l.Text != want {
				return breach("keep each stream's lines once, in order, by cursor", "the line %q comes where %q should",
					l.Text, want)
			}
			if l.Stream != s.stream {
				return breach("mark each line with its stream", "the line %q is said to be of %s", l.Text, l.Stream)
			}
			next++
		}
		if next != lines+1 {
			return breach("pass on every line", "%d of %d lines of %s came", next-1, lines, s.stream)
		}
	}
	return nil
}

const someLines = 1500

func outputWhole(ctx context.Context, rn *runner) error {
	args := []string{fmt.Sprintf("lines=%d", someLines), "hold"}
	return rn.launched(ctx, args, func(p Process, r *run, _ launcher.Instance) error {
		last := func(o *output) bool {
			return o.has(fmt.Sprintf("out %d", someLines)) && o.has(fmt.Sprintf("err %d", someLines))
		}
		o, err := r.read(ctx, p, 0, last)
		if err != nil {
			return err
		}
		if err := o.numbered(someLines); err != nil {
			return err
		}
		for _, at := range []int{0, len(o.lines) / 2, len(o.lines) - 2} {
			rest, err := r.read(ctx, p, o.lines[at].Cursor,
				func(rest *output) bool { return len(rest.lines) >= len(o.lines)-at-1 })
			if err != nil {
				return err
			}
			for n, l := range rest.lines {
				if want := o.lines[min(at+1+n, len(o.lines)-1)]; l.Text != want.Text || l.Cursor != want.Cursor {
					return breach("a cursor means the same line each time",
						"read again from the cursor of line %d, the next is %q at %d and not %q at %d", at, l.Text,
						l.Cursor, want.Text, want.Cursor)
				}
			}
		}
		rn.noteDown("%d lines", len(o.lines))
		return nil
	})
}

func outputEnd(ctx context.Context, rn *runner) error {
	args := []string{"lines=300", "partial", "exit=7"}
	return rn.launched(ctx, args, func(p Process, r *run, _ launcher.Instance) error {
		for _, when := range []string{"while it runs", "after it has ended"} {
			o, err := r.read(ctx, p, 0, func(*output) bool { return false })
			if err != nil {
				return err
			}
			if err := o.ending(300, when); err != nil {
				return err
			}
		}
		return nil
	})
}

// ending checks the last item of an output whose program exited with 7 after its last words.
func (o *output) ending(lines int, when string) error {
	if o.end == nil {
		return breach("the last item is an End", "the output, read %s, ends without an End", when)
	}
	if err := o.numbered(lines); err != nil {
		return fmt.Errorf("read %s, the End comes too early: %w", when, err)
	}
	words := slices.IndexFunc(o.lines, func(l plugin.Line) bool {
		return l.Text == "the last words" &&
			l.Stream == plugin.Stdout
	})
	switch {
	case words < 0:
		return breach("a last line without its end is a line",
			"the program's last line, which has no end, does not come (read %s)", when)
	case !o.lines[words].Partial:
		return breach("mark a line that was not ended",
			"the program's last line has no end and is not marked as partial")
	case o.end.EndCursor != o.cursor:
		return breach("end_cursor is the cursor of the last line", "the End has the cursor %d, the last line %d",
			o.end.EndCursor, o.cursor)
	case !o.end.Exit.Known || o.end.Exit.Code != 7 || o.end.Exit.Signal != "":
		return breach("tell how it ended", "the program exited with code 7, the End says: %v", o.end.Exit)
	default:
		return nil
	}
}

// killed ends the plugin's process by kill -9 and returns the next one.
func (rn *runner) killed(ctx context.Context, p Process) (Process, error) {
	p.Kill()
	if !bounded(ctx, slack, p.Done()) {
		return nil, errors.New("the plugin does not end by SIGKILL")
	}
	return rn.process(ctx)
}

func recoverRuns(ctx context.Context, rn *runner) error {
	return rn.launched(ctx, []string{"hold"}, func(p Process, r *run, i launcher.Instance) error {
		p, err := rn.killed(ctx, p)
		if err != nil {
			return err
		}
		got, err := r.recover(ctx, p)
		if err != nil {
			return err
		}
		if got.PID != i.PID || got.StartTime != i.StartTime || got.Phase != launcher.PhaseRunning {
			return breach("put gateways under gatehost-shim (shared/shim), which outlives the plugin",
				"a new process finds pid %d, phase %s; before the kill it was pid %d", got.PID, got.Phase, i.PID)
		}
		again, err := r.launch(ctx, p)
		if err != nil {
			return err
		}
		if n := len(r.pids("starts")); n != 1 || again.PID != i.PID {
			return breach("Launch is idempotent across processes",
				"Launch by the new process: pid %d, and %d processes were started", again.PID, n)
		}
		if err := rn.call(ctx, p, "Launcher.Signal after Recover", deadlineQuick,
			func(ctx context.Context, l launcher.Launcher) error {
				return l.Signal(ctx, r.req.LaunchID, "SIGTERM")
			}); err != nil {
			return err
		}
		return gone(ctx, r.pids("starts"), "after SIGTERM by a new process of the plugin the launched")
	})
}

// recover takes the run up.
func (r *run) recover(ctx context.Context, p Process) (launcher.Instance, error) {
	var got launcher.Instance
	err := r.rn.call(ctx, p, "Launcher.Recover by a new process", deadlineQuick,
		func(ctx context.Context, l launcher.Launcher) (err error) {
			got, err = l.Recover(ctx, r.req.LaunchID)
			return err
		})
	return got, err
}

func recoverOutput(ctx context.Context, rn *runner) error {
	const lines = 600
	args := []string{fmt.Sprintf("lines=%d", lines), "pace=1ms", "exit=7", "partial"}
	return rn.launched(ctx, args, func(p Process, r *run, _ launcher.Instance) error {
		o := &output{}
		// lines of both outputs together: there are twice as many
		for _, after := range []int{lines / 4, lines / 2, lines} {
			if err := r.more(ctx, p, o, func(o *output) bool { return len(o.lines) >= after }); err != nil {
				return err
			}
			if o.end != nil {
				break
			}
			var err error
			if p, err = rn.killed(ctx, p); err != nil {
				return err
			}
			if _, err := r.recover(ctx, p); err != nil {
				return err
			}
		}
		if o.end == nil {
			if err := r.more(ctx, p, o, func(*output) bool { return false }); err != nil {
				return err
			}
		}
		return o.ending(lines, "across three kills")
	})
}

func recoverExit(ctx context.Context, rn *runner) error {
	return rn.launched(ctx, []string{"lines=20", "hold", "exit=7", "partial"},
		func(p Process, r *run, i launcher.Instance) error {
			p.Kill()
			if !bounded(ctx, slack, p.Done()) {
				return errors.New("the plugin does not end by SIGKILL")
			}
			if err := r.goOn(); err != nil {
				return err
			}
			if err := gone(ctx, []int{i.PID}, "the launched"); err != nil {
				return err
			}
			p, err := rn.process(ctx)
			if err != nil {
				return err
			}
			got, err := r.recover(ctx, p)
			if err != nil {
				return err
			}
			for until := time.Now().Add(slack); got.Live() && time.Now().Before(until); { // its exit may be on its way
				if err := pause(ctx, 20*time.Millisecond); err != nil {
					return err
				}
				if got, err = r.recover(ctx, p); err != nil {
					return err
				}
			}
			if got.Phase != launcher.PhaseEnded || got.Exit == nil || !got.Exit.Known || got.Exit.Code != 7 {
				return breach("a process has to wait for the program while there is no plugin: gatehost-shim does",
					"it exited with code 7 while there was no plugin; the next one says phase %s, exit %v", got.Phase,
					got.Exit)
			}
			o, err := r.read(ctx, p, 0, func(*output) bool { return false })
			if err != nil {
				return err
			}
			return o.ending(20, "afterwards")
		})
}

func launcherLetsGo(ctx context.Context, rn *runner) error {
	r, err := rn.newRun("hold")
	if err != nil {
		return err
	}
	defer r.end(ctx)
	p, err := rn.own(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	if _, err := r.launch(ctx, p); err != nil {
		return err
	}
	began := time.Now()
	p.CloseStdin()
	if !bounded(ctx, hostGone+slack, p.Done()) {
		return breach("end when stdin ends; what was launched stays with its shim",
			"%v after its stdin was closed it lives on", hostGone+slack)
	}
	rn.noteDown("%d ms", time.Since(began).Milliseconds())
	if !bounded(ctx, held, p.Drained()) {
		return breach("give what you launch other pipes than your own",
			"a process still holds its stdout or stderr %v after its end", held)
	}
	next, err := rn.process(ctx)
	if err != nil {
		return err
	}
	got, err := r.recover(ctx, next)
	if err == nil && !got.Live() {
		err = breach("gateways outlive the plugin", "when the plugin had ended, what it launched was %s", got.Phase)
	}
	return err
}
