package doctors

import (
	"errors"
	"testing"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/shared/fault"
)

// A repair is carried out by the name of its plan: once, and only when it is the plan that was proposed last.
func TestRepairExecutesThePlanThatWasProposedLastAndNoOther(t *testing.T) {
	d := New(Options{})
	first := d.propose(assessment{about: 1}, nil, repair.FileState{}, true)
	second := d.propose(assessment{about: 2}, nil, repair.FileState{}, true)
	if first == "" || first == second {
		t.Fatalf("plans %q and %q", first, second)
	}
	for _, plan := range []lifecycle.PlanID{"", first, "another"} {
		if err := d.Repair(t.Context(), plan); !errors.Is(err, fault.ErrFailedPrecondition) {
			t.Errorf("plan %q: %v", plan, err)
		}
	}
	if r, err := d.take(second); err != nil || r.about != 2 {
		t.Errorf("the plan that was proposed last: %+v, %v", r, err)
	}
	if err := d.Repair(t.Context(), second); err == nil {
		t.Error("a plan is executed a second time")
	}
	third := d.propose(assessment{}, nil, repair.FileState{}, false) // nothing can be repaired
	for _, plan := range []lifecycle.PlanID{third, first, second} {
		if err := d.Repair(t.Context(), plan); err == nil {
			t.Errorf("plan %q is executed, and nothing was proposed", plan)
		}
	}
}
