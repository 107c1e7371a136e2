package lifecycle_test

import (
	"slices"
	"testing"
	"time"

	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
)

// Other settings begin nothing and end nothing: what runs goes on, and shows in what it differs.
func TestOtherSettingsAreShownAsDriftAndTouchNothing(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	running := lc.State{
		Phase: lc.PhaseRunning, Up: true, Launch: "A", Session: 1, Conditions: []lc.Condition{{Code: "unwatched"}},
	}
	s, out := lc.Step(lc.DefaultPolicy(), running, lc.Reconfigured{Drift: []string{"command", "port"}}, now)
	if len(out) != 0 || s.Phase != running.Phase || s.Launch != "A" || s.Epoch != running.Epoch {
		t.Fatalf("%+v, %v", s, out)
	}
	if !slices.Equal(s.Drift, []string{"command", "port"}) || len(s.Conditions) != 2 ||
		s.Conditions[1].Code != "drift" || s.Conditions[1].Since != now {
		t.Errorf("drift %v, conditions %+v", s.Drift, s.Conditions)
	}
	s, _ = lc.Step(lc.DefaultPolicy(), s, lc.Reconfigured{Drift: []string{"port"}}, now)
	if len(s.Conditions) != 2 ||
		s.Conditions[1].Message != "the gateway was launched with another configuration than the present one: port" {
		t.Errorf("conditions %+v", s.Conditions)
	}
	s, _ = lc.Step(lc.DefaultPolicy(), s, lc.Reconfigured{}, now)
	if len(s.Drift) != 0 || len(s.Conditions) != 1 || s.Conditions[0].Code != "unwatched" {
		t.Errorf("taken back: drift %v, conditions %+v", s.Drift, s.Conditions)
	}
	s, _ = lc.Step(lc.DefaultPolicy(), lc.New(), lc.Reconfigured{Drift: []string{"port"}}, now)
	if len(s.Drift) != 0 || len(s.Conditions) != 0 {
		t.Errorf("of a gateway that does not run: %+v", s)
	}
}
