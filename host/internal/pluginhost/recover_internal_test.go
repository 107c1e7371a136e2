package pluginhost

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// told is a launcher that says the same of every launch.
type told struct {
	launcher.Fake

	instance launcher.Instance
	err      error
}

func (t *told) Recover(context.Context, string) (launcher.Instance, error) { return t.instance, t.err }

func (t *told) Inspect(context.Context, string) (launcher.Inspection, error) {
	return launcher.Inspection{Instance: t.instance}, t.err
}

// TestLaunchIsRecoveredWhenBothProcessesAgreeAboutIt: it may end, or be released, meanwhile.
func TestLaunchIsRecoveredWhenBothProcessesAgreeAboutIt(t *testing.T) {
	running := func(pid int, start string) launcher.Instance {
		return launcher.Instance{LaunchID: "x", Phase: launcher.PhaseRunning, PID: pid, StartTime: start}
	}
	over := launcher.Instance{LaunchID: "x", Phase: launcher.PhaseEnded, PID: 7, Exit: &plugin.Exit{Known: true}}
	gone := fault.New(fault.NotFound, "there is no launch x")
	broken := fault.New(fault.Unavailable, "no disk")
	for _, row := range []struct {
		name        string
		ours, their told // what the new and the present process say
		want        string
	}{
		{"the same", told{instance: running(7, "1")}, told{instance: running(7, "1")}, ""},
		{"it has ended", told{instance: over}, told{instance: over}, ""},
		{"it has ended, and was released by the present one", told{instance: over}, told{err: gone}, ""},
		{"it was released", told{err: gone}, told{err: gone}, ""},
		{"it started again", told{instance: running(8, "2")}, told{instance: running(8, "2")}, ""},
		{"it is not known to the new one", told{err: gone}, told{instance: running(7, "1")}, "there is no launch x"},
		{"the new one cannot", told{err: broken}, told{err: gone}, "no disk"},
		{
			"another process that the present one has released", told{instance: running(8, "2")}, told{err: gone},
			"the present process does not say how it is: there is no launch x",
		},
		{
			"the present one cannot say", told{instance: over}, told{err: broken},
			"the present process does not say how it is: no disk",
		},
		{
			"another process", told{instance: running(8, "2")}, told{instance: running(7, "1")},
			"it says running, pid 8; the present process says running, pid 7",
		},
		{
			"an end that the present one does not see", told{instance: over}, told{instance: running(7, "1")},
			"it says ended, pid 7; the present process says running, pid 7",
		},
		{"an end of another process", told{instance: over}, told{instance: launcher.Instance{
			LaunchID: "x", Phase: launcher.PhaseEnded, PID: 9, Exit: &plugin.Exit{Known: true},
		}}, ""},
	} {
		err := recoverOne(t.Context(), &row.their, &row.ours, running(7, "1"))
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
		if row.ours.err != nil && err != nil && !errors.Is(err, row.ours.err) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// TestProcessIsTheSameUnlessItsNumberOrItsStartDiffers: while it starts not all is known.
func TestProcessIsTheSameUnlessItsNumberOrItsStartDiffers(t *testing.T) {
	for _, row := range []struct {
		a, b launcher.Instance
		same bool
	}{
		{launcher.Instance{PID: 7, StartTime: "1"}, launcher.Instance{PID: 7, StartTime: "1"}, true},
		{launcher.Instance{PID: 7, StartTime: "1"}, launcher.Instance{PID: 8, StartTime: "1"}, false},
		{launcher.Instance{PID: 7, StartTime: "1"}, launcher.Instance{PID: 7, StartTime: "2"}, false},
		{launcher.Instance{StartTime: "1"}, launcher.Instance{PID: 7, StartTime: "1"}, true},
		{launcher.Instance{PID: 7}, launcher.Instance{PID: 7, StartTime: "1"}, true},
		{launcher.Instance{StartTime: "2"}, launcher.Instance{PID: 7, StartTime: "1"}, false},
		{launcher.Instance{}, launcher.Instance{PID: 7, StartTime: "1"}, true},
	} {
		if sameProcess(row.a, row.b) != row.same || sameProcess(row.b, row.a) != row.same {
			t.Errorf("%+v and %+v: same is %t", row.a, row.b, !row.same)
		}
	}
}
