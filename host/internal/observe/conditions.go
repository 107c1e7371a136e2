package observe

import (
	"fmt"
	"slices"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/view"
	"github.com/gatehost/gatehost/shared/control"
)

// unansweredPings is how many pings in a row without an answer make a gateway unresponsive.
const unansweredPings = 2

// condition is a condition with what tells it apart from others with the same code.
type condition struct {
	lifecycle.Condition

	subject string // the plugin of CodePluginDown
	// measured: its message has figures that change all the time; only that it comes and goes is a fact.
	measured bool
	lasting  bool // its Since is the time when it came, whatever a later one says
}

// saysTheSame reports whether two conditions read alike; since when is no change.
func (c condition) saysTheSame(o condition) bool { return c.Message == o.Message && c.Hint == o.Hint }

func (c condition) key() [2]string { return [2]string{c.Code, c.subject} }

// Conditions returns everything that is not well with the gateway, in a fixed order. The caller must not change it.
func (r Record) Conditions() []lifecycle.Condition {
	out := make([]lifecycle.Condition, len(r.conditions))
	for i, c := range r.conditions {
		out[i] = c.Condition
	}
	return out
}

// reconcile computes the conditions of a moment and returns the facts about those that changed.
func (r *Record) reconcile(now time.Time) []Fact {
	next := r.conditionsAt(now)
	var facts []Fact
	for i, c := range next {
		j := slices.IndexFunc(r.conditions, func(have condition) bool { return have.key() == c.key() })
		if j >= 0 && c.lasting {
			next[i].Since = r.conditions[j].Since
		}
		if j < 0 || !c.measured && !c.saysTheSame(r.conditions[j]) {
			facts = append(facts, conditionChanged(c, true))
		}
	}
	for _, c := range r.conditions {
		if !slices.ContainsFunc(next, func(have condition) bool { return have.key() == c.key() }) {
			facts = append(facts, conditionChanged(c, false))
		}
	}
	r.conditions = next
	return facts
}

func conditionChanged(c condition, active bool) Fact {
	return ConditionChanged{control.ConditionData{Condition: view.Condition(c.Condition), Active: active}}
}

func (r *Record) conditionsAt(now time.Time) []condition {
	var out []condition
	for _, c := range r.state.Conditions {
		out = append(out, condition{Condition: c})
	}
	for _, c := range r.files {
		out = append(out, condition{Condition: c, lasting: true})
	}
	if r.state.Phase == lifecycle.PhaseVerifying {
		out = append(out, condition{Condition: lifecycle.Condition{
			Code: codeSilent, Since: r.state.LastAlive,
			Message: "nothing has come from the gateway; one call decides whether it is alive",
		}})
	}
	if p := r.pings; p.Session == r.state.Session && p.Session != 0 && p.Unanswered >= unansweredPings {
		out = append(out, condition{measured: true, lasting: true, Condition: lifecycle.Condition{
			Code: codeUnresponsive, Since: p.LastFrameAt,
			Message: fmt.Sprintf("%d pings in a row had no answer within %v", p.Unanswered, r.settings.PongTimeout),
			Hint: fmt.Sprintf("a busy gateway answers later; after %v without a sign of life one call decides",
				r.settings.Silence),
		}})
	}
	if r.mismatches.shown(r.state.Launch, now) {
		out = append(out, condition{measured: true, Condition: r.mismatches.condition()})
	}
	if r.replaced.shown() {
		out = append(out, condition{Condition: r.replacedCondition()})
	}
	if r.heap.shown(now) {
		out = append(out, condition{Condition: r.heapCondition()})
	}
	for _, p := range r.plugins {
		if p.down() && r.uses(p.Name) {
			out = append(out, p.condition())
		}
	}
	return out
}

// uses reports whether the gateway needs a plugin: by its settings, or for the running process.
func (r *Record) uses(name string) bool {
	return name == r.launcher || slices.Contains(r.settings.Plugins, name)
}

func (p Plugin) down() bool { return !p.Running && !p.FirstStart }

func (p Plugin) condition() condition {
	c := lifecycle.Condition{
		Code: CodePluginDown, Since: p.Since, Message: fmt.Sprintf("plugin %s does not run", p.Name),
		Hint: "the gateway continues to run; run `gatehost plugin info " + p.Name + "`",
	}
	if p.Problem != "" {
		c.Message += ": " + p.Problem
	}
	return condition{Condition: c, subject: p.Name, lasting: true}
}
