package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

func launcherSignal(ctx context.Context, rn *runner) error {
	return rn.launched(ctx, []string{"hold", "exit=7"}, func(p Process, r *run, i launcher.Instance) error {
		signal := func(name string) error {
			bound, cancel := rn.within(ctx, deadlineQuick)
			defer cancel()
			err := client(p).Signal(bound, r.req.LaunchID, name)
			if lost := rn.lost(p, "Launcher.Signal", err); lost != nil {
				return lost
			}
			return err
		}
		if err := signal("SIGNOSUCH"); fault.CodeOf(err) != fault.InvalidArgument {
			return breach("answer invalid_argument", "a signal that there is not: %s", outcome(err))
		}
		for _, name := range []string{"SIGUSR1", "SIGTERM"} {
			if err := signal(name); err != nil {
				return fmt.Errorf("Launcher.Signal %s fails: %w", name, err) //nolint:staticcheck // it is a name
			}
			if name == "SIGUSR1" {
				if _, err := r.read(ctx, p, 0,
					func(o *output) bool { return strings.HasPrefix(o.last(), "signal ") }); err != nil {
					return fmt.Errorf("the signal did not reach the program: %w", err)
				}
			}
		}
		if err := gone(ctx, []int{i.PID}, "after SIGTERM the launched"); err != nil {
			return err
		}
		var err error
		for until := time.Now().Add(slack); time.Now().Before(until); { // its end may not have been seen yet
			if err = signal("SIGTERM"); fault.CodeOf(err) == fault.FailedPrecondition {
				return nil
			}
			if err := pause(ctx, 20*time.Millisecond); err != nil {
				return err
			}
		}
		return breach("answer failed_precondition", "a signal to a program that has ended: %s", outcome(err))
	})
}

// stop ends a run and returns how it ended.
func (r *run) stop(ctx context.Context, p Process, grace time.Duration) (launcher.Stopped, error) {
	bound, cancel := context.WithTimeout(ctx, grace+r.rn.deadline(stopExtra))
	defer cancel()
	got, err := client(p).Stop(bound, r.req.LaunchID, grace)
	if lost := r.rn.lost(p, "Launcher.Stop", err); lost != nil {
		return got, lost
	}
	if err != nil {
		return got, fmt.Errorf("Launcher.Stop fails: %w", err) //nolint:staticcheck // it is a name
	}
	return got, nil
}

func stopAsks(ctx context.Context, rn *runner) error {
	return rn.launched(ctx, []string{"hold", "exit=7"}, func(p Process, r *run, i launcher.Instance) error {
		for n := range 2 {
			got, err := r.stop(ctx, p, 20*time.Second)
			if err != nil {
				return err
			}
			if got.Exit.Code != 7 || got.Exit.Signal != "" || !got.Exit.Known || got.Killed && n == 0 {
				return breach("SIGTERM first; on an ended instance answer the recorded exit",
					"the program ends with code 7 on SIGTERM; Stop number %d says %v, killed %v", n+1, got.Exit,
					got.Killed)
			}
		}
		return gone(ctx, []int{i.PID}, "after Stop the launched")
	})
}

func stopKills(ctx context.Context, rn *runner) error {
	return rn.launched(ctx, []string{"hold", "stubborn", "grandchild"},
		func(p Process, r *run, _ launcher.Instance) error {
			got, err := r.stop(ctx, p, 300*time.Millisecond)
			if err != nil {
				return err
			}
			if err := gone(ctx, slices.Concat(r.pids("starts"), r.pids("grandchildren")),
				"after Stop the"); err != nil {
				return err
			}
			if !got.Killed || got.Exit.Signal != "SIGKILL" {
				return breach("say what was needed", "the program does not end on SIGTERM; Stop says %v, killed %v",
					got.Exit, got.Killed)
			}
			return nil
		})
}

func launcherRelease(ctx context.Context, rn *runner) error {
	return rn.launched(ctx, []string{"hold"}, func(p Process, r *run, _ launcher.Instance) error {
		release := func() error {
			bound, cancel := rn.within(ctx, deadlineQuick)
			defer cancel()
			err := client(p).Release(bound, r.req.LaunchID)
			if lost := rn.lost(p, "Launcher.Release", err); lost != nil {
				return lost
			}
			return err
		}
		if err := release(); fault.CodeOf(err) != fault.FailedPrecondition {
			return breach("answer failed_precondition", "Release of what runs: %s", outcome(err))
		}
		if _, err := r.stop(ctx, p, 0); err != nil {
			return err
		}
		for n := range 2 {
			if err := release(); err != nil {
				return fmt.Errorf("Launcher.Release number %d of what has ended fails: %w", //nolint:staticcheck // a name
					n+1, err)
			}
		}
		bound, cancel := rn.within(ctx, deadlineQuick)
		defer cancel()
		l, err := client(p).List(bound, "")
		if err != nil {
			return fmt.Errorf("Launcher.List fails: %w", err) //nolint:staticcheck // it is a name
		}
		if slices.ContainsFunc(l.Instances, func(i launcher.Instance) bool { return i.LaunchID == r.req.LaunchID }) {
			return breach("Release removes the bundle", "List shows a launch that was released")
		}
		return nil
	})
}

// exec runs the child as a command.
func (r *run) exec(
	ctx context.Context, p Process, timeout time.Duration, stdin string, args ...string,
) (launcher.ExecResult, []plugin.Line, error) {
	var lines []plugin.Line
	bound, cancel := context.WithTimeout(ctx, timeout+r.rn.deadline(execExtra))
	defer cancel()
	got, err := client(p).Exec(bound, launcher.ExecRequest{
		Gateway: r.req.Gateway, Process: r.command(args...), Timeout: timeout, Stdin: []byte(stdin),
	}, func(l plugin.Line) error {
		lines = append(lines, l)
		return nil
	})
	return got, lines, err
}

func execRuns(ctx context.Context, rn *runner) error {
	r, p, err := rn.ready(ctx)
	if err != nil {
		return err
	}
	defer r.end(ctx)
	got, lines, err := r.exec(ctx, p, readBound, "a line of input\nanother\n", "echo", "lines=50", "exit=7")
	if lost := rn.lost(p, "Launcher.Exec", err); lost != nil {
		return lost
	}
	if err != nil {
		return fmt.Errorf("Launcher.Exec fails: %w", err) //nolint:staticcheck // it is a name
	}
	o := &output{lines: lines}
	if err := o.numbered(50); err != nil {
		return err
	}
	switch {
	case !o.has("a line of input") || !o.has("another"):
		return breach("stdin is for the command's standard input", "the command did not get its standard input")
	case got.Exit.Code != 7 || !got.Exit.Known || got.TimedOut:
		return breach("tell how it ended", "the command exited with code 7, Exec says %v, timed out %v", got.Exit,
			got.TimedOut)
	}
	_, _, err = r.exec(ctx, p, readBound, "", "lines=1")
	if err != nil {
		return fmt.Errorf("a second Launcher.Exec fails: %w", err)
	}
	bound, cancel := rn.within(ctx, deadlineQuick)
	defer cancel()
	missing := plugin.ProcessSpec{Argv: []string{r.dir + "/no-such-program"}}
	_, err = client(p).Exec(bound, launcher.ExecRequest{Process: missing, Timeout: time.Second},
		func(plugin.Line) error { return nil })
	if lost := rn.lost(p, "Launcher.Exec", err); lost != nil {
		return lost
	}
	if fault.CodeOf(err) != fault.NotFound {
		return breach("answer not_found", "a command that is not there: %s", outcome(err))
	}
	return nil
}

func execTimeout(ctx context.Context, rn *runner) error {
	r, p, err := rn.ready(ctx)
	if err != nil {
		return err
	}
	defer r.end(ctx)
	// Long enough for the child to begin on a busy machine: earlier there is no tree to end.
	got, _, err := r.exec(ctx, p, 2*time.Second, "", "hold", "stubborn", "grandchild")
	if lost := rn.lost(p, "Launcher.Exec", err); lost != nil {
		return lost
	}
	switch {
	case err != nil:
		return fmt.Errorf("Launcher.Exec fails: %w", err) //nolint:staticcheck // it is a name
	case !got.TimedOut:
		return breach("set timed_out", "the command does not end by itself; Exec says %v, and not that it timed out",
			got.Exit)
	}
	return gone(ctx, slices.Concat(r.pids("starts"), r.pids("grandchildren")), "after the timeout of Exec the")
}

func execCancel(ctx context.Context, rn *runner) error {
	r, p, err := rn.ready(ctx)
	if err != nil {
		return err
	}
	defer r.end(ctx)
	calls, cancel := context.WithCancel(ctx)
	defer cancel()
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _, _ = r.exec(calls, p, time.Minute, "", "hold", "stubborn", "grandchild")
	}()
	for until := time.Now().Add(startTimeout); len(r.pids("grandchildren")) == 0 && time.Now().Before(until); {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	began := len(r.pids("grandchildren")) > 0
	cancel()
	<-over
	if !began {
		return breach("run what is asked for", "the command did not begin within %v", startTimeout)
	}
	return gone(ctx, slices.Concat(r.pids("starts"), r.pids("grandchildren")), "after Exec was cancelled the")
}
