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
	saying
}

type saying struct {
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
		ours, their saying // what the new and the present process say
		want        string
	}{
		{"the same", saying{instance: running(7, "1")}, saying{instance: running(7, "1")}, ""},
		{"it has ended", saying{instance: over}, saying{instance: over}, ""},
		{"it has ended, and was released by the present one", saying{instance: over}, saying{err: gone}, ""},
		{"it was released", saying{err: gone}, saying{err: gone}, ""},
		{"it started again", saying{instance: running(8, "2")}, saying{instance: running(8, "2")}, ""},
		{"it is not known to the new one", saying{err: gone}, saying{instance: running(7, "1")}, "there is no launch x"},
		{"the new one cannot", saying{err: broken}, saying{err: gone}, "no disk"},
		{
			"another process that the present one has released",
			saying{instance: running(8, "2")},
			saying{err: gone},
			"the present process does not say how it is: there is no launch x",
		},
		{
			"the present one cannot say",
			saying{instance: over},
			saying{err: broken},
			"the present process does not say how it is: no disk",
		},
		{
			"another process",
			saying{instance: running(8, "2")},
			saying{instance: running(7, "1")},
			"it says running, pid 8; the present process says running, pid 7",
		},
		{
			"an end that the present one does not see",
			saying{instance: over},
			saying{instance: running(7, "1")},
			"it says ended, pid 7; the present process says running, pid 7",
		},
		{"an end of another process", saying{instance: over}, saying{instance: launcher.Instance{
			LaunchID: "x", Phase: launcher.PhaseEnded, PID: 9, Exit: &plugin.Exit{Known: true},
		}}, ""},
	} {
		err := recoverOne(t.Context(), &told{saying: row.their}, &told{saying: row.ours}, running(7, "1"))
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
