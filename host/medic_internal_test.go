package host

import (
	"errors"
	"testing"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/shared/fault"
)

// A repair is executed by the name of its plan: once, and only if it is the plan that was proposed last.
func TestRepairExecutesThePlanThatWasProposedLastAndNoOther(t *testing.T) {
	m := newMedic(&gateway{})
	first := m.propose(remedy{about: 1}, nil, repair.Look{}, true)
	second := m.propose(remedy{about: 2}, nil, repair.Look{}, true)
	if first == "" || first == second {
		t.Fatalf("plans %q and %q", first, second)
	}
	for _, plan := range []lifecycle.PlanID{"", first, "another"} {
		if err := m.Repair(t.Context(), plan); !errors.Is(err, fault.ErrFailedPrecondition) {
			t.Errorf("plan %q: %v", plan, err)
		}
	}
	if r, err := m.take(second); err != nil || r.about != 2 {
		t.Errorf("the plan that was proposed last: %+v, %v", r, err)
	}
	if err := m.Repair(t.Context(), second); err == nil {
		t.Error("a plan is executed a second time")
	}
	third := m.propose(remedy{}, nil, repair.Look{}, false) // nothing can be repaired
	for _, plan := range []lifecycle.PlanID{third, first, second} {
		if err := m.Repair(t.Context(), plan); err == nil {
			t.Errorf("plan %q is executed, and nothing was proposed", plan)
		}
	}
}
