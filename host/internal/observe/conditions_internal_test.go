package observe

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
)

// conditionOf returns a condition of a record by its code.
func conditionOf(r Record, code string) (lifecycle.Condition, bool) {
	for _, c := range r.Conditions() {
		if c.Code == code {
			return c, true
		}
	}
	return lifecycle.Condition{}, false
}

func TestRefusedClientsAreShownForAWhile(t *testing.T) { // B295
	at := time.Now()
	run := func(r Record, launch lifecycle.LaunchID, at time.Time) Record {
		r, _ = r.Step(Change{After: lifecycle.State{Launch: launch}, At: at})
		return r
	}
	r := run(Record{}, "a", at)
	if _, shown := conditionOf(r, codeTokenMismatch); shown {
		t.Error("a condition without a reason")
	}
	r, _ = r.See(ClientRefused{Launch: "a", At: at, Number: 1}, at)
	r, _ = r.See(ClientRefused{Launch: "a", At: at.Add(time.Minute), Number: 1}, at.Add(time.Minute))
	r, facts := r.See(Passed{}, at.Add(2*time.Minute))
	c, shown := conditionOf(r, codeTokenMismatch)
	if !shown || len(facts) > 0 || !c.Since.Equal(at) || !strings.Contains(c.Message, "2 times") || c.Hint == "" {
		t.Errorf("condition = %+v, %t, facts %v", c, shown, facts)
	}
	if _, shown := conditionOf(run(r, "b", at.Add(2*time.Minute)), codeTokenMismatch); shown {
		t.Error("another launch has the condition, too")
	}
	if due := r.Due(); due.Before(at.Add(11*time.Minute)) || due.After(at.Add(12*time.Minute)) {
		t.Errorf("it ends at %v after it came", due.Sub(at))
	}
	if later, facts := r.See(Passed{}, r.Due()); len(later.Conditions()) > 0 || len(facts) != 1 || !later.Due().IsZero() {
		t.Errorf("when it is due it stays: %+v, facts %v", later.Conditions(), facts)
	}
	// The times are those of lines.
	if back, _ := r.See(Passed{}, at.Add(-24*time.Hour)); len(back.Conditions()) > 0 {
		t.Error("with a clock that was set back it is shown for a day")
	}
	r, _ = r.See(ClientRefused{Launch: "a", At: at.Add(2 * time.Hour), Number: 1}, at.Add(2*time.Hour))
	if c, _ := conditionOf(r, codeTokenMismatch); !c.Since.Equal(at.Add(2*time.Hour)) ||
		!strings.Contains(c.Message, "1 time") {
		t.Errorf("after a quiet time: %+v", c)
	}
}

// conditionsOf runs sights one after the other and returns the conditions that they changed, as "code came" and "code
// went".
func conditionsOf(t *testing.T, r *Record, now time.Time, sights ...Sight) []string {
	t.Helper()
	var out []string
	for _, s := range sights {
		next, facts := r.See(s, now)
		*r = next
		for _, f := range facts {
			c, ok := f.(ConditionChanged)
			if !ok {
				t.Errorf("%T gives %T", s, f)
				continue
			}
			word := " went"
			if c.Active {
				word = " came"
			}
			out = append(out, c.Code+word)
		}
	}
	return out
}

// Two pings in a row of the present session make the condition, until one is answered; figures alone are no change.
func TestUnansweredPingsAreACondition(t *testing.T) {
	at := time.Now()
	r := New(Settings{PongTimeout: 15 * time.Second, Silence: 3 * time.Minute}, lifecycle.State{Session: 7})
	for _, row := range []struct {
		name    string
		session lifecycle.SessionID
		n       int
		want    []string
	}{
		{"one", 7, 1, nil},
		{"another session", 8, 5, nil},
		{"two", 7, 2, []string{"unresponsive came"}},
		{"three", 7, 3, nil},
		{"answered", 7, 0, []string{"unresponsive went"}},
	} {
		got := conditionsOf(t, &r, at, Pings{Session: row.session, Unanswered: row.n, LastFrameAt: at})
		if !slices.Equal(got, row.want) {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
	conditionsOf(t, &r, at, Pings{Session: 7, Unanswered: 2, LastFrameAt: at})
	c, _ := conditionOf(r, codeUnresponsive)
	if !strings.Contains(c.Message, "2 pings") || !strings.Contains(c.Message, "15s") ||
		!strings.Contains(c.Hint, "3m0s") || !c.Since.Equal(at) {
		t.Errorf("%+v", c)
	}
	_, facts := r.Step(Change{Before: lifecycle.State{Session: 7}, At: at})
	if !slices.ContainsFunc(facts, func(f Fact) bool {
		c, ok := f.(ConditionChanged)
		return ok && c.Code == codeUnresponsive && !c.Active
	}) {
		t.Error("it outlives its session")
	}
}

// The condition is about a plugin that the gateway uses, or that holds the running process; not while it starts for the
// first time.
func TestPluginThatIsDownIsACondition(t *testing.T) {
	at := time.Now()
	down := func(name, problem string) Plugin {
		return Plugin{Name: name, Since: at, Problem: problem}
	}
	r := New(Settings{Plugins: []string{"utility", "doctor"}}, lifecycle.State{})
	for _, row := range []struct {
		name  string
		sight Sight
		want  []string
	}{
		{"it starts", Plugins{[]Plugin{{Name: "doctor", FirstStart: true}}}, nil},
		{"it runs", Plugins{[]Plugin{{Name: "doctor", Running: true}}}, nil},
		{"it is down", Plugins{[]Plugin{down("doctor", "exit status 1")}}, []string{"plugin-down came"}},
		{"it is still down", Plugins{[]Plugin{down("doctor", "exit status 1")}}, nil},
		{"for another reason", Plugins{[]Plugin{down("doctor", "exit status 2")}}, []string{"plugin-down came"}},
		{
			"another one, too",
			Plugins{[]Plugin{down("doctor", "exit status 2"), down("utility", "x")}},
			[]string{"plugin-down came"},
		},
		{
			"one that is not used",
			Plugins{[]Plugin{down("doctor", "exit status 2"), down("utility", "x"), down("spare", "x")}},
			nil,
		},
		{"it is not used any more", Configured{Settings{Plugins: []string{"utility"}}}, []string{"plugin-down went"}},
		{"it is used again", Configured{Settings{Plugins: []string{"utility", "doctor"}}}, []string{"plugin-down came"}},
		{"all run", Plugins{}, []string{"plugin-down went", "plugin-down went"}},
	} {
		if got := conditionsOf(t, &r, at, row.sight); !slices.Equal(got, row.want) {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
	conditionsOf(t, &r, at, Plugins{[]Plugin{down("former", "exit status 3")}})
	next, facts := r.Step(Change{After: lifecycle.State{Launch: "a"}, Launcher: "former", At: at})
	if c, ok := conditionOf(next, CodePluginDown); !ok || len(facts) != 1 ||
		!strings.Contains(c.Message, "exit status 3") || c.Hint == "" {
		t.Errorf("the launcher of what runs is down: %+v, facts %v", next.Conditions(), facts)
	}
}

// What is not well about the gateway's files is a condition until it is not said any more; since when it is stays.
func TestWhatIsNotWellAboutFilesIsACondition(t *testing.T) {
	at := time.Now()
	files := func(message string, since time.Time) Files {
		return Files{[]lifecycle.Condition{{Code: "token-unused", Message: message, Since: since}}}
	}
	r := New(Settings{}, lifecycle.State{})
	for _, row := range []struct {
		sight Sight
		want  []string
	}{
		{Files{}, nil},
		{files("a", at), []string{"token-unused came"}},
		{files("a", at.Add(time.Minute)), nil},
		{files("b", at.Add(time.Hour)), []string{"token-unused came"}},
		{Passed{}, nil},
	} {
		if got := conditionsOf(t, &r, at, row.sight); !slices.Equal(got, row.want) {
			t.Errorf("%+v: %q, want %q", row.sight, got, row.want)
		}
	}
	if c, ok := conditionOf(r, "token-unused"); !ok || c.Message != "b" || !c.Since.Equal(at) {
		t.Errorf("%+v", c)
	}
	if got := conditionsOf(t, &r, at, Files{}); !slices.Equal(got, []string{"token-unused went"}) {
		t.Errorf("%q", got)
	}
}

// The condition lasts while one call decides whether a silent gateway is alive.
func TestSilenceIsACondition(t *testing.T) {
	at := time.Now()
	running := lifecycle.State{Phase: lifecycle.PhaseRunning, Session: 1, LastAlive: at}
	verifying := running
	verifying.Phase = lifecycle.PhaseVerifying
	r, facts := New(Settings{}, running).Step(Change{Before: running, After: verifying, At: at.Add(time.Minute)})
	if c, ok := conditionOf(r, codeSilent); !ok || !c.Since.Equal(at) {
		t.Errorf("conditions %+v", r.Conditions())
	}
	came := func(facts []Fact, active bool) bool {
		return slices.ContainsFunc(facts, func(f Fact) bool {
			c, ok := f.(ConditionChanged)
			return ok && c.Code == codeSilent && c.Active == active
		})
	}
	if !came(facts, true) {
		t.Errorf("it came without a fact: %v", facts)
	}
	heard := verifying // a late sign of life does not end the question, and is no news
	heard.LastAlive = at.Add(90 * time.Second)
	if r, facts = r.Step(Change{Before: verifying, After: heard, At: at.Add(90 * time.Second)}); len(facts) > 0 {
		t.Errorf("it is reported again: %v", facts)
	}
	if _, facts = r.Step(Change{Before: heard, After: running, At: at.Add(2 * time.Minute)}); !came(facts, false) {
		t.Errorf("it went without a fact: %v", facts)
	}
}

// The message of such a condition has no figures.
func TestConditionOfTheLifecycleThatSaysSomethingElseIsAChange(t *testing.T) {
	at := time.Now()
	with := func(message string) lifecycle.State {
		return lifecycle.State{Conditions: []lifecycle.Condition{{Code: "drift", Message: message, Since: at}}}
	}
	var r Record
	for _, row := range []struct {
		message string
		facts   int
	}{{"port", 1}, {"port", 0}, {"port, command", 1}} {
		next, facts := r.Step(Change{Before: r.state, After: with(row.message), At: at})
		if r = next; len(facts) != row.facts {
			t.Errorf("%s: %d facts, want %d", row.message, len(facts), row.facts)
		}
	}
}
