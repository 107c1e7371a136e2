package engine_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehost/gatehost/host/internal/engine"
	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Other settings reach the next decision, and nothing that runs.
func TestSettingsChangeUnderARunningGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		e := begin(t, s, lc.DefaultPolicy())
		mustDo(t, e.Start, lc.OutcomeApplied)
		before := e.Snapshot().State
		p := lc.DefaultPolicy()
		p.BackoffBase, p.BackoffMax, p.Jitter = time.Hour, time.Hour, 0
		if err := e.Configure(t.Context(), engine.Settings{Policy: p, Drift: []string{"port"}}); err != nil {
			t.Fatal(err)
		}
		after := e.Snapshot().State
		if after.Phase != before.Phase || after.Session != before.Session || after.Launch != before.Launch ||
			!slices.Equal(after.Drift, []string{"port"}) {
			t.Errorf("before: %+v\nafter:  %+v", before, after)
		}
		s.kill(plugin.Exit{Known: true, Code: 1})
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		if n := s.count(&s.launches); n != 1 {
			t.Errorf("%d launches: the new back-off is an hour", n)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := s.count(&s.launches); n != 2 || len(e.Snapshot().State.Drift) != 0 {
			t.Errorf("%d launches, drift %v", n, e.Snapshot().State.Drift)
		}
	})
}

func TestSilentGatewayIsAskedByTheMethodThatHoldsThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		var asked []string
		s.CallErr = func(_ context.Context, method string) error {
			asked = append(asked, method)
			return nil
		}
		p := lc.DefaultPolicy()
		e := begin(t, s, p)
		mustDo(t, e.Start, lc.OutcomeApplied)
		changed := engine.Settings{Policy: p, VerifyMethod: "health", VerifyTimeout: time.Second}
		if err := e.Configure(t.Context(), changed); err != nil {
			t.Fatal(err)
		}
		time.Sleep(p.Silence + time.Second)
		synctest.Wait()
		if len(asked) == 0 || asked[0] != "health" {
			t.Errorf("asked %q", asked)
		}
	})
}

func TestRetiredGatewayStaysDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		e := begin(t, s, lc.DefaultPolicy())
		mustDo(t, e.Start, lc.OutcomeApplied)
		mustDo(t, e.Retire, lc.OutcomeApplied)
		for name, do := range map[string]func(context.Context) (lc.Outcome, error){
			"start": e.Start, "restart": restartIt(e), "autostart": func(ctx context.Context) (lc.Outcome, error) {
				return e.Autostart(ctx, false)
			},
		} {
			o, err := do(t.Context())
			if err != nil || o.Kind != lc.OutcomeFailed || o.Problem == nil || o.Problem.Code != "failed_precondition" {
				t.Errorf("%s: %+v, %v", name, o, err)
			}
		}
		mustDo(t, stopIt(e), lc.OutcomeApplied)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := s.count(&s.launches); n != 1 || s.alive() != 0 {
			t.Errorf("%d launches, %d alive", n, s.alive())
		}
		// it stays after all
		if err := e.Configure(t.Context(), engine.Settings{Policy: lc.DefaultPolicy()}); err != nil {
			t.Fatal(err)
		}
		mustDo(t, e.Start, lc.OutcomeApplied)
	})
}

func TestSettingsOfAnEngineThatHasEndedAreNotAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		ctx, cancel := context.WithCancel(t.Context())
		e := engine.New("main", lc.DefaultPolicy(), s.ports(), nil)
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		cancel()
		<-ended
		if err := e.Configure(t.Context(), engine.Settings{}); !errors.Is(err, engine.ErrStopped) {
			t.Errorf("error = %v", err)
		}
	})
}
