package host

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/fault"
)

// Methods of OpenClaw that a supervisor asks politely by (gateway-facts.md §7).
const (
	methodRestart = "gateway.restart.request"
	methodSuspend = "gateway.suspend.prepare"

	// methodShutdown is not OpenClaw's, up to 2026.9.6; the table of behaviours knows gateways that have it (B211).
	methodShutdown = "shutdown"
)

// drainPoll is between two looks at work in flight.
const drainPoll = time.Second

// unknownShutdown is how a gateway says that it has no such call (B212).
var unknownShutdown = regexp.MustCompile(`(?i)unknown method:\s*shutdown`)

// asked remembers what a gateway answered to the wish to end itself, until another one answers in its place (B212).
type asked struct {
	mu   sync.Mutex // guards all below
	peer string
	err  error
}

// answer is the remembered one of a peer.
func (a *asked) answer(peer string) (error, bool) { //nolint:staticcheck // the error is the value
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err, peer != "" && a.peer == peer
}

func (a *asked) keep(peer string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.peer, a.err = peer, err
}

// manners is what a gateway can be asked politely, by what it says that it knows. A signal is sent only to a release that is known to
// handle it: the one that restarts a gateway in its process kills another release, and opens a debugger in a third.
type manners struct{ g *gateway }

func (m manners) Reload(ctx context.Context, s engine.Session, launch lifecycle.LaunchID) error {
	methods := s.Stats().Methods
	if slices.Contains(methods, methodRestart) {
		_, err := s.Call(ctx, methodRestart, json.RawMessage(`{"reason":"gatehost reload"}`))
		return err
	}
	return fault.New(fault.Unsupported, "this release of the gateway knows no way to restart within its process")
}

// Shutdown asks a gateway that is not ours to end itself. What it answers is remembered, so that a gateway without the call is not asked
// again.
func (m manners) Shutdown(ctx context.Context, s engine.Session) error {
	st := s.Stats()
	peer := cmp.Or(st.BootID, st.ConnID)
	if err, known := m.g.asked.answer(peer); known {
		m.g.log.Info("the gateway is not asked again to shut down", "answered", cmp.Or(errorText(err), "that it does"))
		return err
	}
	_, err := s.Call(ctx, methodShutdown, nil)
	switch {
	case err == nil, errors.Is(err, engine.ErrNotConnected): // it goes, or has gone
		m.g.asked.keep(peer, nil)
		return nil
	case unknownShutdown.MatchString(err.Error()):
		err = fault.New(fault.Unsupported, "the gateway runs on: it knows no call to shut down").
			WithHint("end it where it was started; `gatehost stop` without --external lets go of it")
		m.g.asked.keep(peer, err)
		return err
	default:
		m.g.log.Warn("the gateway was asked to shut down and did not agree", "error", err)
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
// of two minutes. Terminals do not hold it up: the stop that follows ends them anyway (OpenClaw docs/gateway/external-apps.md).
func (m manners) Drain(ctx context.Context, s engine.Session) error {
	if !slices.Contains(s.Stats().Methods, methodSuspend) {
		return fault.New(fault.Unsupported, "this release of the gateway cannot be asked to drain").
			WithHint("it drains by itself on SIGTERM, as long as launch.grace lets it")
	}
	request, err := json.Marshal(map[string]any{"requestId": rand.Text(), "drain": true, "terminalPolicy": "terminate"})
	if err != nil {
		return fmt.Errorf("cannot ask the gateway to drain: %w", err)
	}
	for {
		got, err := s.Call(ctx, methodSuspend, request)
		var now suspension
		switch {
		case errors.Is(err, engine.ErrNotConnected):
			return nil // it has gone by itself
		case err != nil:
			return fmt.Errorf("cannot drain the gateway: %w", err)
		case json.Unmarshal(got, &now) != nil:
			return fmt.Errorf("cannot drain the gateway: %s answered %.80s", methodSuspend, got)
		case now.Status == "ready":
			return nil
		}
		m.g.log.Info("waiting for work in flight", "status", now.Status, "active", now.ActiveCount)
		wait := time.Duration(now.RetryAfterMs) * time.Millisecond
		select {
		case <-time.After(min(max(wait, drainPoll), 5*drainPoll)):
		case <-ctx.Done():
			return fmt.Errorf("%d pieces of work were still in flight: %w", now.ActiveCount, context.Cause(ctx))
		}
	}
}
