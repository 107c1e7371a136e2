package conformance

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// inspectEvery is between two questions whether a program that has not begun has ended.
const inspectEvery = 100 * time.Millisecond

// begun waits until the child has said its pid. A program that ends before that is a breach at once, with how it ended
// and its last lines: what stands in front of it has refused, or the user that it runs as may not do something.
func (r *run) begun(ctx context.Context, p Process) error {
	asked := time.Now()
	for until := asked.Add(startTimeout); time.Now().Before(until); {
		if len(r.pids("starts")) > 0 {
			return nil
		}
		if time.Since(asked) >= inspectEvery {
			asked = time.Now()
			if exit, over := r.ended(ctx, p); over && len(r.pids("starts")) == 0 {
				return r.died(ctx, p, exit)
			}
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return breach("Launch returns when the process exists", "the program did not begin within %v of its launch%s",
		startTimeout, r.lastWords(ctx, p))
}

// ended reports whether the launcher says that the run is over, and how it ended. A launcher that does not answer is
// asked again.
func (r *run) ended(ctx context.Context, p Process) (exit *plugin.Exit, over bool) {
	bound, cancel := r.rn.within(ctx, deadlineQuick)
	defer cancel()
	got, err := client(p).Inspect(bound, r.req.LaunchID)
	if err != nil {
		return nil, false
	}
	return got.Instance.Exit, got.Instance.Phase == launcher.PhaseEnded || got.Instance.Phase == launcher.PhaseFailed
}

func (r *run) died(ctx context.Context, p Process, exit *plugin.Exit) error {
	how := "in a way that the launcher does not know"
	if exit != nil {
		how = "with " + exit.String()
	}
	return breach("run that command by hand as the launcher does; what the launcher puts in front of a program must "+
		"execute in its place, and the user that it runs as must be able to use the program and its directory",
		"the program ended %s before it began: %s%s", how, strings.Join(r.req.Process.Argv, " "), r.lastWords(ctx, p))
}

// lastWordsBound bounds the wait for the end of an output.
const lastWordsBound = 2 * time.Second

// lastWords returns the last lines of the run for the end of a sentence; "" when there are none.
func (r *run) lastWords(ctx context.Context, p Process) string {
	const most = 5
	bound, cancel := context.WithTimeout(ctx, lastWordsBound)
	defer cancel()
	var lines []string
	// its error is the launcher's, and another check's
	_ = client(p).Output(bound, launcher.OutputRequest{LaunchID: r.req.LaunchID, Follow: true},
		func(item launcher.OutputItem) error {
			batch, ok := item.(*launcher.LineBatch)
			if _, end := item.(*launcher.End); end {
				return errEnough
			}
			if ok {
				for _, l := range batch.Lines {
					lines = append(lines, fmt.Sprintf("%.200s", l.Text))
				}
				lines = lines[max(0, len(lines)-most):]
			}
			return nil
		})
	if len(lines) == 0 {
		return "; it wrote nothing"
	}
	return "; its last lines: " + strings.Join(lines, " | ")
}
