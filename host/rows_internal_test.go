package host

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/control"
)

// TestStateIsToldOnlyWhenItChanges is B006, B007 and B017: a step that changes nothing that can be seen is no event; a change is one, has a
// number, and is logged at debug.
func TestStateIsToldOnlyWhenItChanges(t *testing.T) {
	var log bytes.Buffer
	h := hostWith(&config.Gateway{Name: "main", Port: 1})
	h.hub = events.NewHub(events.Options{})
	defer h.hub.Close()
	g := &gateway{name: "main", host: h, log: hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Debug})}
	o := newObserver(g)
	step := func(before, after lifecycle.State) {
		o.Stepped(engine.Change{Before: before, After: after, At: time.Now()})
	}
	stopped, start := lifecycle.State{Phase: lifecycle.PhaseStopped}, lifecycle.State{Phase: lifecycle.PhaseRecovering, Flow: lifecycle.FlowStart}
	step(stopped, stopped)
	step(stopped, start)
	step(start, start)
	var told []events.Event
	sub := h.hub.Subscribe(0)
	for e, ok := sub.TryNext(); ok; e, ok = sub.TryNext() {
		told = append(told, e)
	}
	if len(told) != 1 || told[0].Type != events.GatewayState || told[0].Cursor == 0 || told[0].Data.(control.StateData).From != "stopped" {
		t.Errorf("told %+v", told)
	}
	if text := log.String(); strings.Count(text, "state changed") != 1 || !strings.Contains(text, "[DEBUG]") || !strings.Contains(text, "from=stopped to=starting") {
		t.Errorf("logged %s", text)
	}
}

// TestTokenThatCannotBeReadEndsTheConnect is B126 and B125: it is read for each session, and a connect without it ends at once.
func TestTokenThatCannotBeReadEndsTheConnect(t *testing.T) {
	cfg := &config.Gateway{Name: "main", Port: 1, Token: config.Token{File: filepath.Join(t.TempDir(), "token")}}
	g := &gateway{name: "main", host: hostWith(cfg), log: hclog.NewNullLogger()}
	for _, text := range []string{"", "another day"} {
		if text != "" {
			if err := os.WriteFile(cfg.Token.File, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := g.tokenOf(cfg); err != nil || got != text {
				t.Errorf("token %q, %v", got, err)
			}
			continue
		}
		s, _, err := sessions{g}.Open(t.Context(), 0, engine.SessionEvents{})
		if _, refused := errors.AsType[*engine.Refused](err); s != nil || !refused {
			t.Errorf("session %v, %v", s, err)
		}
	}
}

// TestAttemptsAreForgottenWhenTheyAreRead is B026: after a healthy minute none is shown, although nothing has happened since.
func TestAttemptsAreForgottenWhenTheyAreRead(t *testing.T) {
	now := time.Now()
	for healthy, want := range map[time.Duration]int{59 * time.Second: 3, time.Minute: 0} {
		s := lifecycle.State{Phase: lifecycle.PhaseRunning, Launch: "A", Reconnects: 3, RunningSince: now.Add(-healthy)}
		if got := attemptsAt(s, time.Minute, now); got != want {
			t.Errorf("healthy for %v: %d attempts, want %d", healthy, got, want)
		}
	}
	waiting := lifecycle.State{Phase: lifecycle.PhaseBackoff, Flow: lifecycle.FlowRevive, Reconnects: 3}
	if got := attemptsAt(waiting, time.Minute, now); got != 3 {
		t.Errorf("reconnecting: %d attempts", got)
	}
}

// TestUptimeIsCountedWhenItIsRead is B008 and B009: since the process began, or since the host attached, in milliseconds.
func TestUptimeIsCountedWhenItIsRead(t *testing.T) {
	began := time.Now().Add(-time.Hour)
	owned := lifecycle.State{Phase: lifecycle.PhaseRunning, Launch: "A", Process: lifecycle.Process{PID: 7, StartedAt: began}, ConnectedAt: time.Now()}
	if got := uptimeFrom(owned); !got.Equal(began) {
		t.Errorf("since %v, want the process's begin", got)
	}
	setBack := owned // the wall clock was, by two hours, after it began (B010)
	setBack.SpawnedAt, setBack.Process.StartedAt = began, began.Add(2*time.Hour)
	if got := uptimeFrom(setBack); !got.Equal(began) {
		t.Errorf("with a clock that was set back: since %v, want %v", got, began)
	}
	attached := lifecycle.State{Phase: lifecycle.PhaseRunning, Attached: true, RunningSince: began}
	if got := uptimeFrom(attached); !got.Equal(began) {
		t.Errorf("attached since %v", got)
	}
	if ms := control.Ms(time.Since(began)); *ms < 3_600_000 || *ms > 3_700_000 {
		t.Errorf("an hour is %d ms", *ms)
	}
}
