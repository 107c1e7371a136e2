package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/internal/stamp"
	"github.com/gatehost/gatehost/shared/control"
)

func (a *app) explainVerb() *cobra.Command {
	var asJSON bool
	v := &cobra.Command{
		Use:   "explain NAME",
		Short: "Show why a gateway is in its state",
		Long: "Show why a gateway is in its state: the events that led to it with their causes, and the stages of\n" +
			"its last start. Also works without a host: from the journal in the state directory.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.gatewayNames,
		RunE: verb(func(ctx context.Context, args []string) error {
			return a.explain(ctx, args[0], asJSON)
		}),
	}
	v.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return v
}

// explainSpan is how far back the reasons are looked for; an older state is explained by its age.
const explainSpan = 7 * 24 * time.Hour

// explanation is the answer of explain --json.
type explanation struct {
	Gateway  string          `json:"gateway"`
	HostRuns bool            `json:"hostRuns"`
	Silent   bool            `json:"hostSilent,omitempty"` // it runs and does not answer
	State    string          `json:"state"`
	Since    control.Time    `json:"since,omitzero"`
	Timeline []control.Event `json:"timeline"` // oldest first; an event's cause is the cursor of another
	Start    *control.Start  `json:"lastStart,omitempty"`
}

func (a *app) explain(ctx context.Context, name string, asJSON bool) error {
	got, err := a.reasons(ctx, name)
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(got)
	}
	for _, line := range got.text(time.Now()) {
		if err := a.print(clean(line)); err != nil {
			return err
		}
	}
	return nil
}

// reasons folds the events of a gateway, and of what it depends on, into those that led to its state.
func (a *app) reasons(ctx context.Context, name string) (explanation, error) {
	got := explanation{Gateway: name, HostRuns: true, State: "unknown"}
	client, err := a.client()
	if err != nil {
		return explanation{}, err
	}
	defer client.Close()
	now, err := client.Gateway(ctx, name) // fails when there is no such gateway
	f := chapters{gateway: name}
	q := control.EventsQuery{Once: true, Since: time.Now().Add(-explainSpan)}
	past := a.pastEvents(ctx, q)
	switch {
	case errors.Is(err, control.ErrNoHost):
		got.HostRuns = false
	case errors.Is(err, control.ErrSilent):
		got.Silent = true
		past = a.writtenEvents(q, err) // the host is not waited for twice
	case err != nil:
		return got, err
	}
	for e, err := range past {
		if err != nil {
			return got, err
		}
		f.take(e)
	}
	got.Timeline, got.State, got.Since, got.Start = f.timeline(), f.state, f.since, f.start
	if got.HostRuns && !got.Silent {
		got.State = now.State
		if now.LastStart != nil {
			got.Start = now.LastStart
		}
	}
	if got.State == "" {
		got.State = "unknown"
	}
	return got, nil
}

// chapters splits the history of a gateway where it came to rest: running or stopped. The last chapter and the end
// of the one before explain the present state.
type chapters struct {
	gateway        string
	previous, last []control.Event
	state          string
	since          control.Time
	start          *control.Start
	closed         bool // last ends at rest
}

// maxChapter bounds the events of a gateway that never comes to rest: the first ones say why, the newest ones where
// it is.
const maxChapter = 400

func (c *chapters) take(e control.Event) {
	if e.Gateway != "" && e.Gateway != c.gateway {
		return
	}
	if !c.tells(e) {
		return
	}
	if c.closed && e.Type != control.EventGatewayCondition {
		c.previous, c.last, c.closed = c.last, nil, false
	}
	if len(c.last) >= maxChapter {
		c.last = append(c.last[:maxChapter/2], c.last[maxChapter/2+1:]...)
	}
	c.last = append(c.last, e)
	if e.Type != control.EventGatewayState {
		return
	}
	d := data[control.StateData](e)
	if d.Start != nil {
		c.start = d.Start
	}
	if d.State != c.state {
		c.since = e.Time
	}
	c.state = d.State
	c.closed = d.State == control.StateRunning || d.State == control.StateStopped
}

// tells reports whether an event is worth a line of explanation.
func (c *chapters) tells(e control.Event) bool {
	switch e.Type {
	case control.EventGatewayState, control.EventGatewayCommand, control.EventGatewayExit,
		control.EventGatewayCondition, control.EventGatewaySessionLost, control.EventGatewayReconnect,
		control.EventGatewayDoctorFinding, control.EventGatewayDoctorPlan, control.EventGatewayDoctorFinished,
		control.EventGatewayConfig, control.EventGatewayServiceUnloaded, control.EventGatewayServiceRestored,
		control.EventHostStarted, control.EventHostStopping, control.EventHostCondition:
		return true
	case control.EventPluginState:
		return data[control.PluginData](e).Error != nil
	case control.EventGatewayOutput:
		return data[control.LogLine](e).Symptom != ""
	default:
		return false
	}
}

// timeline returns the last chapter after the event that ended the one before it.
func (c *chapters) timeline() []control.Event {
	out := c.last
	if n := len(c.previous); n > 0 {
		out = append([]control.Event{c.previous[n-1]}, out...)
	}
	return out
}

func (x explanation) text(now time.Time) []string {
	head := fmt.Sprintf("%s is %s", x.Gateway, x.State)
	if x.Silent {
		head = fmt.Sprintf("the host does not answer; %s was last seen %s", x.Gateway, x.State)
	}
	if !x.HostRuns {
		head = fmt.Sprintf("no host runs; %s was last seen %s", x.Gateway, x.State)
	}
	if !x.Since.IsZero() {
		head += fmt.Sprintf(", since %s (%s)", x.Since.Local().Format("2006-01-02 15:04:05"),
			elapsed(now.Sub(x.Since.Time)))
	}
	out := []string{head, ""}
	if len(x.Timeline) == 0 {
		return append(out, "The journal has no event about it in the last 7 days.")
	}
	out = append(out, "What led to it:")
	last := ""
	for _, e := range x.Timeline {
		line := x.line(e)
		if line == "" || line == last {
			continue
		}
		last = line
		out = append(out, "  "+e.Time.Local().Format("15:04:05.000")+"  "+line)
	}
	if x.Start != nil {
		out = append(out, "", "The last start: "+orUnknown(x.Start.Outcome)+" in "+elapsedMs(x.Start.TotalMs))
		for _, st := range x.Start.Stages {
			at, took := elapsedMs(&st.StartMs), elapsedMs(st.Ms)
			line := fmt.Sprintf("  %-12s at %-7s took %-7s %s", st.Name, at, took, st.Detail)
			out = append(out, strings.TrimRight(line, " "))
		}
		for _, line := range traceLines(x.Start.Trace) {
			out = append(out, "  "+line)
		}
	}
	return out
}

func (x explanation) line(e control.Event) string {
	word, text, hint := describe(e)
	switch e.Type {
	case control.EventHostStarted:
		word, text = "host", "a host began"
	case control.EventHostStopping:
		word, text = "host", strings.TrimSpace("the host stops "+text)
	case control.EventGatewaySessionLost:
		word, text = "session", "lost"
		if d := data[control.SessionData](e); d.Code != 0 {
			text += fmt.Sprintf(" (close code %d)", d.Code)
		}
	case control.EventGatewayOutput:
		l := data[control.LogLine](e)
		word, text = "output", stamp.Trim(clean(l.Text))+" ["+l.Symptom+"]"
	case control.EventGatewayExit:
		d := data[control.ExitData](e)
		word, text = "exit", exitText(&d.Exit)
		if d.Expected {
			text += ", as it was told"
		}
	case control.EventGatewayCondition:
		if d := data[control.ConditionData](e); !d.Active {
			word, text = "condition", d.Code+": no longer"
		}
	case control.EventPluginState:
		word, text = "plugin", e.Plugin+" is "+word+": "+text
	case control.EventGatewayState:
		d := data[control.StateData](e)
		if d.State != control.StateRunning && d.State != control.StateError && d.State != control.StateStopped {
			text = d.Phase
			if d.Detail != "" {
				text += ": " + d.Detail
			}
		}
	}
	if word == "" {
		return ""
	}
	line := fmt.Sprintf("%-12s %s", word, text)
	if hint != "" {
		line += " (" + hint + ")"
	}
	return strings.TrimRight(line, " ")
}
