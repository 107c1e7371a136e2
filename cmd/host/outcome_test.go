package main

import (
	"strings"
	"testing"

	"github.com/gatehost/gatehost/shared/control"
)

// TestOutcomesHaveTheExitCodesOfTheTable: docs/reference/verbs.md shows them.
func TestOutcomesHaveTheExitCodesOfTheTable(t *testing.T) {
	for outcome, want := range map[string]int{
		control.OutcomeApplied: 0, control.OutcomeJoined: 0, control.OutcomeDeferred: 0, control.OutcomeDetached: 0,
		control.OutcomeAccepted: 0, control.OutcomeFailed: exitFailed, control.OutcomeSuperseded: exitSuperseded,
	} {
		got := exitDone
		if err := (result{Name: "main", Outcome: control.Outcome{Outcome: outcome}}).failure(control.ActionStop); err != nil {
			got = codeOf(err)
		}
		if got != want {
			t.Errorf("%s: exit code %d, want %d", outcome, got, want)
		}
	}
}

// TestStopOfAnAttachedGatewayClaimsNoStop: the gateway runs on.
func TestStopOfAnAttachedGatewayClaimsNoStop(t *testing.T) {
	got := result{Name: "main", Outcome: control.Outcome{
		Outcome: control.OutcomeDetached, Gateway: &control.Gateway{State: control.StateStopped},
	}}.String()
	if !strings.Contains(got, "main detached") || !strings.Contains(got, "runs on") ||
		strings.Contains(got, "main stopped") {
		t.Error(got)
	}
}
