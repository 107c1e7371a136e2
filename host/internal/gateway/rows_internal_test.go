package gateway

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
	"github.com/gatehost/gatehost/host/internal/observe"
	"github.com/gatehost/gatehost/shared/control"
)

// TestStateIsToldOnlyWhenItChanges is B006, B007 and B017: a step that changes nothing that can be seen is no event; a change is one, has a
// number, and is logged at debug.
func TestStateIsToldOnlyWhenItChanges(t *testing.T) {
	var log bytes.Buffer
	g := bare(&config.Gateway{Name: "main", Port: 1})
	g.log = hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Debug})
	g.env.Hub = events.NewHub(events.Options{})
	defer g.env.Hub.Close()
	record := observe.New(observe.Settings{}, lifecycle.State{})
	step := func(before, after lifecycle.State) {
		next, facts := record.Step(observe.Change{Before: before, After: after, At: time.Now()})
		record = next
		watched(g).Observed(facts)
	}
	stopped, start := lifecycle.State{Phase: lifecycle.PhaseStopped}, lifecycle.State{Phase: lifecycle.PhaseRecovering, Flow: lifecycle.FlowStart}
	step(stopped, stopped)
	step(stopped, start)
	step(start, start)
	var told []events.Event
	sub := g.env.Hub.Subscribe(0)
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
	g := bare(cfg)
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
		s, _, err := sessions{core: g}.Open(t.Context(), 0, engine.SessionEvents{})
		if _, refused := errors.AsType[*engine.Refused](err); s != nil || !refused {
			t.Errorf("session %v, %v", s, err)
		}
	}
}
