package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/probe"
	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/internal/frame"
	"github.com/gatehost/gatehost/internal/release"
	"github.com/gatehost/gatehost/shared/fault"
)

// methodShutdown is not OpenClaw's, up to 2026.9.6; the table of behaviours knows gateways that have it (B211).
const methodShutdown = "shutdown"

// drainPoll is between two looks at work in flight.
const drainPoll = time.Second

// unknownShutdown is how a gateway says that it has no such call (B212).
var unknownShutdown = regexp.MustCompile(`(?i)unknown method:\s*shutdown`)

// shutdownAnswer remembers what a gateway answered to the request to end itself, until another one answers in its place (B212). The engine asks
// one gateway at a time; the pointer keeps a late answer of an abandoned request from tearing it.
type shutdownAnswer struct {
	last atomic.Pointer[answer]
}

type answer struct {
	peer string
	err  error // nil: it does
}

// of is the remembered answer of a peer; false when it has given none.
func (a *shutdownAnswer) of(peer string) (answer, bool) {
	last := a.last.Load()
	if last == nil || peer == "" || last.peer != peer {
		return answer{}, false
	}
	return *last, true
}

func (a *shutdownAnswer) keep(peer string, err error) { a.last.Store(&answer{peer: peer, err: err}) }

// inProcess asks a gateway to reload, to drain or to shut down, in the ways that its release knows. A signal is sent only to a release that is known to
// handle it: the one that restarts a gateway in its process kills another release, and opens a debugger in a third.
type inProcess struct {
	log      hclog.Logger
	shutdown *shutdownAnswer
	// answers reports whether the process of that launch is itself the gateway that the session is with; the error says why not.
	answers func(context.Context, lifecycle.LaunchID) error
	// signal sends a signal by its name to the process of that launch, once its identity is checked.
	signal func(ctx context.Context, launch lifecycle.LaunchID, name string) error
}

func newInProcess(c *core, shutdown *shutdownAnswer) inProcess {
	return inProcess{
		log: c.log, shutdown: shutdown,
		answers: func(ctx context.Context, launch lifecycle.LaunchID) error {
			return answers(ctx, c.asLaunched(), c.State(), launch, held)
		},
		signal: func(ctx context.Context, launch lifecycle.LaunchID, name string) error {
			return c.launcher().Signal(ctx, string(launch), name)
		},
	}
}

// Reload tries the ways that the release in front of us is known to handle, until one is taken. An answer that did not come may hide a
// restart: then no other way is tried.
func (m inProcess) Reload(ctx context.Context, s engine.Session, launch lifecycle.LaunchID) error {
	st := s.Stats()
	var refused error
	for _, way := range release.Of(st.Version, st.Methods).Reload {
		var err error
		switch {
		case way == release.RPC:
			_, err = s.Call(ctx, release.MethodRestart, json.RawMessage(`{"reason":"gatehost reload"}`))
			if _, answered := errors.AsType[*frame.Error](err); err != nil && !answered {
				return err
			}
		case launch == "": // not ours: nothing but a call may be used
			continue
		default:
			if err = m.answers(ctx, launch); err == nil {
				m.log.Info("asking the gateway to restart within its process", "signal", string(way), "version", st.Version)
				return m.signal(ctx, launch, string(way))
			}
		}
		if err == nil {
			return nil
		}
		if err = fmt.Errorf("by %s: %w", way, err); refused != nil {
			err = fmt.Errorf("%w; %w", refused, err)
		}
		refused = err
	}
	if refused == nil {
		return fault.New(fault.Unsupported, "no way is known to restart release "+cmp.Or(st.Version, "(unknown)")+" of the gateway within its process")
	}
	return refused
}

// answers compares the launch with who listens: behind a wrapper a signal would hit the wrapper, and a program of another profile may
// speak the protocol under any version and know no such signal. held names the pids on a port, 0 for one that may not be seen.
func answers(ctx context.Context, cfg *config.Gateway, s lifecycle.State, launch lifecycle.LaunchID, held func(context.Context, int) ([]int, error)) error {
	pid, port := s.Process.PID, cmp.Or(s.Process.Port, cfg.Port)
	switch {
	case cfg.Launch.Profile != profile.OpenClaw:
		return fault.New(fault.Unsupported, "a gateway of profile "+cfg.Launch.Profile+" is sent no signals")
	case s.Launch != launch || pid == 0:
		return fault.New(fault.FailedPrecondition, "its process has been replaced meanwhile")
	}
	pids, err := held(ctx, port)
	switch other := slices.IndexFunc(pids, func(p int) bool { return p != pid }); {
	case err != nil:
		return fmt.Errorf("cannot find out who listens on port %d: %w", port, err)
	case len(pids) == 0:
		return fault.New(fault.FailedPrecondition, fmt.Sprintf("nobody listens on port %d", port))
	case other >= 0:
		return fault.New(fault.FailedPrecondition,
			fmt.Sprintf("pid %d listens on port %d, and pid %d was launched, which may be a wrapper", pids[other], port, pid))
	default:
		return nil
	}
}

// held is who listens on a port, by pid.
func held(ctx context.Context, port int) ([]int, error) {
	holders, err := probe.Holders(ctx, port)
	pids := make([]int, 0, len(holders))
	for _, h := range holders {
		pids = append(pids, h.PID)
	}
	return pids, err
}

// Shutdown asks a gateway that is not ours to end itself. What it answers is remembered, so that a gateway without the call is not asked
// again.
func (m inProcess) Shutdown(ctx context.Context, s engine.Session) error {
	st := s.Stats()
	peer := cmp.Or(st.BootID, st.ConnID)
	if known, ok := m.shutdown.of(peer); ok {
		m.log.Info("the gateway is not asked again to shut down", "answered", cmp.Or(errorText(known.err), "that it does"))
		return known.err
	}
	_, err := s.Call(ctx, methodShutdown, nil)
	switch {
	case err == nil, errors.Is(err, engine.ErrNotConnected): // it goes, or has gone
		m.shutdown.keep(peer, nil)
		return nil
	case unknownShutdown.MatchString(err.Error()):
		err = fault.New(fault.Unsupported, "the gateway runs on: it knows no call to shut down").
			WithHint("end it where it was started; `gatehost stop` without --external lets go of it")
		m.shutdown.keep(peer, err)
		return err
	default:
		m.log.Warn("the gateway was asked to shut down and did not agree", "error", err)
		return fmt.Errorf("cannot shut down the gateway: %w", err)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// suspension is the answer to suspend.prepare: ready, draining (the gateway takes no more work and lets what there is end), or busy.
type suspension struct {
	Status       string `json:"status"`
	ActiveCount  int    `json:"activeCount"`
	RetryAfterMs int64  `json:"retryAfterMs"`
}

// Drain asks the gateway for its cooperative suspension, in drain mode, until nothing is in flight. The same request again renews the lease
// of two minutes. Terminals do not hold it up: the stop that follows ends them anyway (OpenClaw, "external apps").
func (m inProcess) Drain(ctx context.Context, s engine.Session) error {
	st := s.Stats()
	if !release.Of(st.Version, st.Methods).Suspend {
		return fault.New(fault.Unsupported, "this release of the gateway cannot be asked to drain").
			WithHint("it drains by itself on SIGTERM, as long as launch.grace lets it")
	}
	request, err := json.Marshal(map[string]any{"requestId": rand.Text(), "drain": true, "terminalPolicy": "terminate"})
	if err != nil {
		return fmt.Errorf("cannot ask the gateway to drain: %w", err)
	}
	for {
		got, err := s.Call(ctx, release.MethodSuspend, request)
		var now suspension
		switch {
		case errors.Is(err, engine.ErrNotConnected):
			return nil // it has gone by itself
		case err != nil:
			return fmt.Errorf("cannot drain the gateway: %w", err)
		case json.Unmarshal(got, &now) != nil:
			return fmt.Errorf("cannot drain the gateway: %s answered %.80s", release.MethodSuspend, got)
		case now.Status == "ready":
			return nil
		}
		m.log.Info("waiting for work in flight", "status", now.Status, "active", now.ActiveCount)
		wait := time.Duration(now.RetryAfterMs) * time.Millisecond
		select {
		case <-time.After(min(max(wait, drainPoll), 5*drainPoll)):
		case <-ctx.Done():
			return fmt.Errorf("%d pieces of work were still in flight: %w", now.ActiveCount, context.Cause(ctx))
		}
	}
}
