package view

import (
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/control"
)

// TestAttemptsAreForgottenWhenTheyAreRead is B026: after a healthy minute no attempt is shown, although nothing has
// happened since.
func TestAttemptsAreForgottenWhenTheyAreRead(t *testing.T) {
	now := time.Now()
	for healthy, want := range map[time.Duration]int{59 * time.Second: 3, time.Minute: 0} {
		s := lifecycle.State{Phase: lifecycle.PhaseRunning, Launch: "A", Reconnects: 3, RunningSince: now.Add(-healthy)}
		if got := Attempts(s, time.Minute, now); got != want {
			t.Errorf("healthy for %v: %d attempts, want %d", healthy, got, want)
		}
	}
	waiting := lifecycle.State{Phase: lifecycle.PhaseBackoff, Flow: lifecycle.FlowRevive, Reconnects: 3}
	if got := Attempts(waiting, time.Minute, now); got != 3 {
		t.Errorf("reconnecting: %d attempts", got)
	}
}

// TestUptimeIsCountedWhenItIsRead is B008 and B009: from the start of the process, or from the moment when the host
// attached, in milliseconds.
func TestUptimeIsCountedWhenItIsRead(t *testing.T) {
	began := time.Now().Add(-time.Hour)
	owned := lifecycle.State{
		Phase: lifecycle.PhaseRunning, Launch: "A", Process: lifecycle.Process{PID: 7, StartedAt: began},
		ConnectedAt: time.Now(),
	}
	if got := UptimeFrom(owned); !got.Equal(began) {
		t.Errorf("since %v, want the process's begin", got)
	}
	setBack := owned // the wall clock was, by two hours, after it began (B010)
	setBack.SpawnedAt, setBack.Process.StartedAt = began, began.Add(2*time.Hour)
	if got := UptimeFrom(setBack); !got.Equal(began) {
		t.Errorf("with a clock that was set back: since %v, want %v", got, began)
	}
	attached := lifecycle.State{Phase: lifecycle.PhaseRunning, Attached: true, RunningSince: began}
	if got := UptimeFrom(attached); !got.Equal(began) {
		t.Errorf("attached since %v", got)
	}
	if ms := control.Ms(time.Since(began)); *ms < 3_600_000 || *ms > 3_700_000 {
		t.Errorf("an hour is %d ms", *ms)
	}
}

// TestLivenessIsInTheStatus is B275: the last sign of life, the deadline, and how the last check ended.
func TestLivenessIsInTheStatus(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if got := Liveness(lifecycle.State{}, time.Minute); got != nil {
		t.Errorf("before a session: %+v", got)
	}
	s := lifecycle.State{
		Session: 1, LastAlive: at, LastVerify: &lifecycle.Verification{At: at.Add(-time.Hour), Why: lifecycle.VerifyTimeout},
	}
	got := Liveness(s, 3*time.Minute)
	if !got.LastAliveAt.Equal(at) || !got.DeadlineAt.Equal(at.Add(3*time.Minute)) ||
		!got.VerifiedAt.Equal(at.Add(-time.Hour)) || got.Result != "deadline-probe-timeout" {
		t.Errorf("%+v", got)
	}
	s.Session, s.LastVerify.Alive = 0, true
	if got := Liveness(s, time.Minute); !got.DeadlineAt.IsZero() || got.Result != "alive" {
		t.Errorf("without a session: %+v", got)
	}
}
