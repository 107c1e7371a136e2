package api

import (
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/control"
)

// TestDelayIsTheRequestsOwnOrTheConfiguredOne is B240.
func TestDelayIsTheRequestsOwnOrTheConfiguredOne(t *testing.T) {
	for _, row := range []struct {
		cmd  control.Command
		want time.Duration
	}{
		{control.Command{}, 0},
		{control.Command{Debounce: true}, 2 * time.Second},
		{control.Command{DelayMs: 8000}, 8 * time.Second},
		{control.Command{DelayMs: 8000, Debounce: true}, 8 * time.Second},
		{control.Command{DelayMs: -1}, 0},
		{control.Command{DelayMs: 1 << 40}, time.Hour},
	} {
		if got := delayOf(row.cmd, 2*time.Second); got != row.want {
			t.Errorf("%+v waits %v, want %v", row.cmd, got, row.want)
		}
	}
}
