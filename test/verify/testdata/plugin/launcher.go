//go:build unix

package main

import (
	"context"
	"os/exec"
	"sync"
	"syscall"
	"time"

	launcherutility "github.com/gatehost/gatehost/plugins/launcher-utility"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

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
	}
	return got, err
}

// Output loses the line at which a new process goes on, or tells of the end before the last line.
func (s *starter) Output(ctx context.Context, req launcher.OutputRequest, sink func(launcher.OutputItem) error) error {
	first := true
	return s.Launcher.Output(ctx, req, func(item launcher.OutputItem) error {
		batch, isBatch := item.(*launcher.LineBatch)
		switch {
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
	return s.Launcher.Stop(ctx, id, grace)
}
