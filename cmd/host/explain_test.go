package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/control"
)

// story makes events in their order, a second apart, each caused by the one before.
type story struct {
	events []control.Event
}

func (s *story) add(kind, gateway string, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	n := uint64(len(s.events) + 1)
	s.events = append(s.events, control.Event{
		Cursor: n, Cause: n - 1, Time: control.At(time.Unix(int64(n), 0)), Gateway: gateway, Type: kind, Data: raw,
	})
}

func (s *story) state(state, phase string) {
	s.add(control.EventGatewayState, "main", control.StateData{State: state, Phase: phase})
}

func (s *story) explain() string {
	f := chapters{gateway: "main"}
	for _, e := range s.events {
		f.take(e)
	}
	x := explanation{
		Gateway: "main", HostRuns: true, State: f.state, Since: f.since, Timeline: f.timeline(),
		Start: f.start,
	}
	return strings.Join(x.text(time.Unix(1000, 0)), "\n")
}

func TestExplainTellsTheWayFromTheLastRest(t *testing.T) {
	s := &story{}
	s.add(control.EventGatewayCommand, "main", control.CommandData{Action: "start", Reason: "long ago"})
	s.state("starting", "launching")
	s.state("running", "running")
	s.add(control.EventGatewayOutput, "main", control.LogLine{Text: "a line without meaning"})
	s.add(control.EventGatewayOutput, "main", control.LogLine{Text: "config is bad", Symptom: "config-invalid"})
	s.add(control.EventGatewayState, "other", control.StateData{State: "error", Phase: "error"})
	s.add(control.EventGatewayExit, "main", control.ExitData{Exit: control.Exit{Signal: "SIGKILL"}})
	s.state("reconnecting", "backoff")
	s.add(control.EventGatewayState, "main", control.StateData{
		State: "error", Phase: "error", Error: &control.Failure{Code: "x", Message: "it is broken", Hint: "repair it"},
		Start: &control.Start{
			Outcome: "error", TotalMs: control.Ms(1500 * time.Millisecond),
			Stages: []control.Stage{{Name: "ready", Ms: control.Ms(time.Second)}},
		},
	})
	s.add(control.EventPluginState, "", control.PluginData{State: "running"})
	got := s.explain()
	for _, want := range []string{
		"main is error", "config is bad", "killed by SIGKILL", "backoff",
		"it is broken (repair it)", "The last start: error in 1.5s", "ready",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	for _, noise := range []string{"long ago", "without meaning"} {
		if strings.Contains(got, noise) {
			t.Errorf("%q in:\n%s", noise, got)
		}
	}
	if strings.Index(got, "running") > strings.Index(got, "SIGKILL") {
		t.Errorf("the rest before is not told first:\n%s", got)
	}
}

func TestExplainOfARunningGatewayTellsHowItCameUp(t *testing.T) {
	s := &story{}
	s.state("stopped", "stopped")
	s.add(control.EventGatewayCommand, "main", control.CommandData{Action: "start", Reason: "because"})
	s.state("starting", "ready")
	s.state("running", "running")
	s.add(control.EventGatewayCondition, "main",
		control.ConditionData{Condition: control.Condition{Code: "drift", Message: "token"}, Active: true})
	got := s.explain()
	for _, want := range []string{"main is running", "because", "ready", "drift"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}

func TestExplainOfAGatewayThatNeverRestsIsBounded(t *testing.T) {
	s := &story{}
	s.add(control.EventGatewayCommand, "main", control.CommandData{Action: "start", Reason: "the beginning"})
	for range 5000 {
		s.state("reconnecting", "backoff")
		s.state("reconnecting", "launching")
	}
	s.state("error", "the end")
	f := chapters{gateway: "main"}
	for _, e := range s.events {
		f.take(e)
	}
	if n := len(f.timeline()); n > maxChapter {
		t.Errorf("%d events", n)
	}
	if got := s.explain(); !strings.Contains(got, "the beginning") || !strings.Contains(got, "the end") {
		t.Errorf("begin or end is missing:\n%.400s", got)
	}
}

func TestExplainWithNothingWrittenDown(t *testing.T) {
	if got := (&story{}).explain(); !strings.Contains(got, "The journal has no event") {
		t.Error(got)
	}
}

// TestSlowTryOfAGatewayThatIsDownIsNoSession: there is no process that a session could be opened with.
func TestSlowTryOfAGatewayThatIsDownIsNoSession(t *testing.T) {
	for _, kind := range []string{"process", "transport"} {
		s := &story{}
		s.add(control.EventGatewayReconnect, "main", control.ReconnectData{
			Kind: kind, Outcome: control.ReconnectScheduled, DelayMs: control.Ms(5 * time.Minute),
		})
		if _, text, _ := describe(s.events[0]); text != "next try in 5m" {
			t.Errorf("%s: %q, want the next try in 5m", kind, text)
		}
	}
}
