package repair

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
)

// Bounds of a plan; the first is the contract's.
const (
	maxStepTime = 10 * time.Minute
	maxTouches  = 64
	maxContent  = 4 << 20
)

// checked is a plan that may be executed: everything that it touches is known and allowed.
type checked struct {
	who   Named
	plan  doctor.Plan
	files []string          // resolved, each once
	paths map[string]string // maps a path of the plan to its resolved path
}

// check checks the whole plan before any of it is executed.
func (s scope) check(who Named, plan doctor.Plan) (checked, error) {
	c := checked{who: who, plan: plan, paths: map[string]string{}}
	switch {
	case len(plan.Steps) == 0:
		return c, refuse("the plan has no steps")
	case len(plan.Steps) > doctor.MaxSteps:
		return c, refuse("the plan has %d steps, the limit is %d", len(plan.Steps), doctor.MaxSteps)
	case len(plan.Touches) > maxTouches:
		return c, refuse("the plan touches %d files, the limit is %d", len(plan.Touches), maxTouches)
	}
	if err := c.add(s, plan.Touches...); err != nil {
		return c, err
	}
	for i, step := range plan.Steps {
		if err := c.step(s, step); err != nil {
			return c, inStep(i, step, err)
		}
	}
	return c, nil
}

// inStep says in which step a fault is.
func inStep(i int, step doctor.Step, err error) error {
	out := refuse("step %d (%s): %s", i+1, bounded(step.Title, 80), strings.TrimPrefix(err.Error(), refused))
	if hint := fault.HintOf(err); hint != "" {
		out = out.WithHint(hint)
	}
	if r, ok := errors.AsType[commandRefused](err); ok {
		return commandRefused{argv: r.argv, err: out}
	}
	return out
}

func (c *checked) add(s scope, paths ...string) error {
	for _, p := range paths {
		if _, known := c.paths[p]; known {
			continue
		}
		got, err := s.path(p)
		if err != nil {
			return err
		}
		known := false
		for _, f := range c.files {
			known = known || f == got
		}
		if !known {
			c.files = append(c.files, got)
		}
		c.paths[p] = got
	}
	return nil
}

func (c *checked) step(s scope, step doctor.Step) error {
	actions := 0
	if e := step.Exec; e != nil {
		actions++
		if _, err := s.step(c.who, e.Argv); err != nil {
			return commandRefused{argv: e.Argv, err: fault.Wrap(fault.CodeOf(err), "", err)}
		}
		if err := checkTime(e.Timeout); err != nil {
			return err
		}
	}
	if w := step.WriteFile; w != nil {
		actions++
		if err := c.write(s, w); err != nil {
			return err
		}
	}
	if d := step.Delegate; d != nil {
		actions++
		if d.ID == "" || len(d.Paths) > maxTouches {
			return refuse("a delegated step without an identity or with more than %d files", maxTouches)
		}
		if err := checkTime(d.Timeout); err != nil {
			return err
		}
		if err := c.add(s, d.Paths...); err != nil {
			return err
		}
	}
	if actions != 1 {
		return refuse("it does %d things, not one", actions)
	}
	return nil
}

func (c *checked) write(s scope, w *doctor.WriteFileStep) error {
	if len(w.Content) > maxContent {
		return refuse("it writes %d bytes, the limit is %d", len(w.Content), maxContent)
	}
	if sum, err := hex.DecodeString(w.ExpectedSHA256); err != nil || len(sum) != 0 && len(sum) != 32 {
		return refuse("the expected checksum is not a SHA-256")
	}
	if err := c.add(s, w.Path); err != nil {
		return err
	}
	// A command of the plan may make a directory. A file is written by gatehost, which makes none for it.
	if _, err := os.Stat(filepath.Dir(c.paths[w.Path])); err != nil {
		return fault.Wrap(fault.NotFound, "cannot find the directory of "+w.Path, err)
	}
	return nil
}

func checkTime(d time.Duration) error {
	if d <= 0 || d > maxStepTime {
		return refuse("its time limit of %v is not between 0 and %v", d, maxStepTime)
	}
	return nil
}

// bounded shortens a text for a message.
func bounded(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
