//go:build unix

package main

import (
	"context"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	launcherutility "github.com/gatehost/gatehost/plugins/launcher-utility"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// ownStderr is the process's, before go-plugin puts its own in its place.
var ownStderr = os.Stderr

// starter is launcher-utility with one fault.
type starter struct {
	*launcherutility.Launcher
	mode     string
	mu       sync.Mutex      // guards launched
	launched map[string]bool // by this process
}

func (s *starter) own(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.launched[id]
}

func (s *starter) Launch(ctx context.Context, req launcher.LaunchRequest) (launcher.Launched, error) {
	switch s.mode {
	case "adds-to-the-environment":
		req.Process.Env = append(req.Process.Env, plugin.EnvVar{Name: "PLANTED", Value: "1"})
	case "leaves-its-pipes-to-what-it-launches":
		child(ownStderr, []string{"PATH=/usr/bin:/bin"})
	}
	again := s.own(req.LaunchID)
	got, err := s.Launcher.Launch(ctx, req)
	s.mu.Lock()
	s.launched[req.LaunchID] = true
	s.mu.Unlock()
	switch {
	case s.mode == "launches-twice" && again && err == nil:
		cmd := exec.Command(req.Process.Argv[0], req.Process.Argv[1:]...) // it ends when its directory is gone
		cmd.Dir, cmd.SysProcAttr = req.Process.Cwd, &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			return got, err
		}
		go func() { _ = cmd.Wait() }()
	case s.mode == "takes-another-spec" && fault.CodeOf(err) == fault.AlreadyExists:
		i, err := s.Launcher.Inspect(ctx, req.LaunchID)
		return launcher.Launched{Instance: i.Instance, AlreadyLaunched: true}, err
	case s.mode == "does-not-say-what-is-missing" && fault.CodeOf(err) == fault.NotFound:
		return got, fault.New(fault.Internal, "it does not work")
	}
	return got, err
}

// Recover forgets labels, or in another process than that of the launch the pid or the exit.
func (s *starter) Recover(ctx context.Context, id string) (launcher.Instance, error) {
	i, err := s.Launcher.Recover(ctx, id)
	switch {
	case s.mode == "forgets-labels":
		i.Labels = nil
	case s.mode == "recovers-another-process" && i.Live() && !s.own(id):
		i.PID++
	case s.mode == "forgets-exits" && i.Exit != nil && !s.own(id):
		i.Exit = &plugin.Exit{At: i.Exit.At}
	}
	return i, err
}

func (s *starter) Signal(ctx context.Context, id, signal string) error {
	err := s.Launcher.Signal(ctx, id, signal)
	code := fault.CodeOf(err)
	if s.mode == "signals-no-process" && code == fault.NotFound ||
		s.mode == "sends-any-signal" && code == fault.InvalidArgument {
		return nil
	}
	return err
}

func (s *starter) Release(ctx context.Context, id string) error {
	err := s.Launcher.Release(ctx, id)
	if s.mode == "releases-what-runs" && fault.CodeOf(err) == fault.FailedPrecondition {
		return nil
	}
	return err
}

func (s *starter) Exec(
	ctx context.Context, req launcher.ExecRequest, sink func(plugin.Line) error,
) (launcher.ExecResult, error) {
	if s.mode == "keeps-a-cancelled-command" {
		ctx = context.WithoutCancel(ctx)
	}
	got, err := s.Launcher.Exec(ctx, req, sink)
	switch s.mode {
	case "loses-the-exit-code":
		got.Exit.Code = 0
	case "does-not-say-that-it-timed-out":
		got.TimedOut = false
	}
	return got, err
}

// Output loses the line at which a new process goes on, or tells of the end before the last line.
func (s *starter) Output(ctx context.Context, req launcher.OutputRequest, sink func(launcher.OutputItem) error) error {
	if s.mode == "begins-anew-at-each-cursor" && s.own(req.LaunchID) {
		req.Cursor = 0
	}
	first := true
	return s.Launcher.Output(ctx, req, func(item launcher.OutputItem) error {
		batch, isBatch := item.(*launcher.LineBatch)
		_, isBeat := item.(*launcher.Heartbeat)
		switch {
		case isBeat && s.mode == "sends-no-heartbeat":
			return nil
		case s.mode == "loses-a-line-on-recover" && isBatch && first && req.Cursor > 0 && !s.own(req.LaunchID):
			first = false
			if batch = (&launcher.LineBatch{Lines: batch.Lines[1:]}); len(batch.Lines) == 0 {
				return nil
			}
			return sink(batch)
		case s.mode == "ends-before-the-last-line" && isBatch && s.own(req.LaunchID):
			var kept []plugin.Line
			for _, l := range batch.Lines {
				if !l.Partial {
					kept = append(kept, l)
				}
			}
			if len(kept) == 0 {
				return nil
			}
			return sink(&launcher.LineBatch{Lines: kept})
		}
		return sink(item)
	})
}

// Stop does not ask first.
func (s *starter) Stop(ctx context.Context, id string, grace time.Duration) (launcher.Stopped, error) {
	if s.mode == "stops-without-asking" {
		grace = 0
	}
	got, err := s.Launcher.Stop(ctx, id, grace)
	if s.mode == "does-not-say-that-it-killed" {
		got.Killed = false
	}
	return got, err
}
