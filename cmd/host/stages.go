package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/gatehost/gatehost/shared/control"
)

// stages prints what happens as lines for people:
//
//	12:00:01 main  starting  launching (0.2s)
//	12:00:08 main  running   version 2026.9.6 pid 4242 port 18789 in 7.1s
type stages struct {
	app   *app
	quiet bool
}

func (s stages) show(e control.Event) {
	if s.quiet {
		return
	}
	word, text, hint := describe(e)
	if word == "" {
		return
	}
	who := e.Gateway
	switch {
	case who != "":
	case e.Plugin != "":
		who = "plugin " + e.Plugin
	default:
		who = "host"
	}
	at := e.Time.Time
	if at.IsZero() {
		at = time.Now()
	}
	line := fmt.Sprintf("%s %-5s %-12s %s", at.Local().Format(time.TimeOnly), who, word, clean(text))
	s.app.say("%s", strings.TrimRight(line, " "))
	if hint != "" {
		s.app.say("%s hint: %s", strings.Repeat(" ", len(time.TimeOnly)), clean(hint))
	}
}

func describeRepair(r control.DoctorResult) (word, text, hint string) {
	text = r.Outcome
	if r.Title != "" {
		text += ": " + r.Title
	}
	if r.Doctor != "" {
		text += ", by " + r.Doctor
	}
	if len(r.Aside) > 0 {
		text += "; what was broken is kept as " + strings.Join(r.Aside, ", ")
	}
	if r.Error != nil {
		return "repair", text + ": " + r.Error.Message, r.Error.Hint
	}
	return "repair", text, ""
}

// describe returns the words of an event; "" for events that are not for the terminal.
func describe(e control.Event) (word, text, hint string) {
	switch e.Type {
	case control.EventGatewayState:
		return describeState(data[control.StateData](e))
	case control.EventGatewayCondition:
		if c := data[control.ConditionData](e); c.Active {
			return "condition", c.Code + ": " + c.Message, c.Hint
		}
	case control.EventGatewayExit:
		if x := data[control.ExitData](e); !x.Expected {
			return "exit", exitText(&x.Exit), ""
		}
	case control.EventGatewayReconnect:
		r := data[control.ReconnectData](e)
		if r.DelayMs != nil && (r.Outcome == "" || r.Outcome == control.ReconnectScheduled) {
			if r.Attempt == 0 { // it does not count: only a session is opened, or the process is down and tried slowly
				return "retry", "next try in " + elapsedMs(r.DelayMs), ""
			}
			return "retry", fmt.Sprintf("attempt %d in %s", r.Attempt, elapsedMs(r.DelayMs)), ""
		}
	case control.EventGatewayDoctorFinding:
		f := data[control.DoctorFinding](e)
		return "finding", f.Code + ": " + f.Text, f.Hint
	case control.EventGatewayDoctorPlan:
		return "plan", data[control.DoctorPlan](e).Title, ""
	case control.EventGatewayDoctorFinished:
		return describeRepair(data[control.DoctorResult](e))
	case control.EventPluginState:
		p := data[control.PluginData](e)
		if p.Error != nil {
			return p.State, p.Error.Message, p.Error.Hint
		}
		if p.State != "running" && p.State != "stopped" {
			return p.State, "", ""
		}
	case control.EventGatewayCommand:
		c := data[control.CommandData](e)
		text := "an operator asked for it"
		if c.By == "host" {
			text = "by the host itself"
		}
		if c.Reason != "" {
			text += ": " + c.Reason
		}
		return c.Action, text, ""
	case control.EventGatewayConfig:
		c := data[control.ConfigData](e)
		text := strings.Join(c.Paths, " ")
		if c.RequiresRestart != nil && *c.RequiresRestart {
			text += "; the gateway restarts itself for this change"
		}
		if c.Reason != "" {
			text += ": " + c.Reason
		}
		return "config", c.Action + " " + text, ""
	case control.EventGatewayServiceUnloaded:
		s := data[control.UnloadedService](e)
		return "unloaded", serviceText(s), restoreHint(e.Gateway, s)
	case control.EventGatewayServiceRestored:
		return "restored", "the service " + data[control.UnloadedService](e).ID, ""
	case control.EventConfigReloaded:
		return describeReload(data[control.Reload](e))
	case control.EventHostCondition:
		if c := data[control.ConditionData](e); c.Active {
			return "condition", c.Code + ": " + c.Message, c.Hint
		}
	case control.EventHostStopping:
		return "stopping", data[control.HostStoppingData](e).Reason, ""
	case control.EventDropped:
		return "skipped", fmt.Sprintf("%d events", data[control.DroppedData](e).Dropped), ""
	}
	return "", "", ""
}

func describeReload(r control.Reload) (word, text, hint string) {
	if r.Outcome == control.ReloadRefused {
		return "reload", r.Outcome + ", the former configuration holds: " + strings.Join(r.Faults, "; "), ""
	}
	text = r.Outcome
	for i, c := range r.Changes {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		text += sep + strings.TrimSpace(c.Scope+" "+c.Name) + " " + c.Action + ", " + c.Result
		if c.Error != nil {
			text += " (" + c.Error.Message + ")"
		}
	}
	return "reload", text, ""
}

func describeState(d control.StateData) (word, text, hint string) {
	switch d.State {
	case control.StateRunning:
		text = fmt.Sprintf("version %s pid %d port %d in %s", orUnknown(d.Version), d.PID, d.Port,
			elapsedMs(d.ElapsedMs))
		if d.Adopted {
			text += ", adopted"
		}
		if d.Owner == "attached" {
			text = strings.Replace(text, "pid 0 ", "", 1) + ", attached"
		}
		return d.State, text, ""
	case control.StateError:
		if d.Error != nil {
			return d.State, d.Error.Message, d.Error.Hint
		}
	case control.StateStopped:
		return d.State, "", ""
	}
	text = d.Phase + " (" + elapsedMs(d.ElapsedMs) + ")"
	if d.Detail != "" {
		text += ": " + d.Detail
	}
	return d.State, text, ""
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// data returns the data of an event; the zero value when it cannot be understood.
func data[T any](e control.Event) T {
	var v, none T
	if json.Unmarshal(e.Data, &v) != nil {
		return none
	}
	return v
}

func exitText(x *control.Exit) string {
	text := "ended unseen"
	switch {
	case x.Signal != "":
		text = "killed by " + x.Signal
	case x.Code != nil:
		text = fmt.Sprintf("exit code %d", *x.Code)
	}
	if x.Core {
		text += " (core dumped)"
	}
	if x.LastedMs != nil {
		text += " after " + elapsedMs(x.LastedMs)
	}
	return text
}
