package reload

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/shared/control"
)

// publish reports the result of a reload in log, events and status.
func (r *Reloader) publish(out control.Reload, err error) {
	var failed []string
	for _, c := range out.Changes {
		log := r.o.Log.Info
		if c.Result == control.ReloadFailed {
			log = r.o.Log.Error
			failed = append(failed, strings.TrimSpace(c.Scope+" "+c.Name))
		}
		log("configuration change", "scope", c.Scope, "name", c.Name, "action", c.Action, "keys", strings.Join(c.Keys, " "),
			"result", c.Result, "reason", reasonOf(c))
	}
	refused := control.Condition{Code: "config-refused", Hint: "correct the file and run `gatehost config reload`"}
	if err != nil {
		out.Outcome = control.ReloadRefused
		out.Faults = strings.Split(err.Error(), "\n")
		if p, ok := errors.AsType[*control.Problem](err); ok && len(p.Faults) > 0 {
			out.Faults = p.Faults
		}
		refused.Message = fmt.Sprintf("%s was refused, the former configuration stays active: %s",
			cmp.Or(out.Config, "the configuration"), out.Faults[0])
		if more := len(out.Faults) - 1; more > 0 {
			refused.Message += fmt.Sprintf(" (and %d more)", more)
		}
		r.o.Log.Error("configuration was not reloaded; the former one stays active", "path", out.Config, "error", err)
	} else {
		r.o.Log.Info("configuration was reloaded", "path", out.Config, "outcome", out.Outcome, "changes", len(out.Changes),
			"failed", strings.Join(failed, ", "))
	}
	r.o.Publish(events.Event{Type: events.ConfigReloaded, Data: out})
	r.o.Conditions.Set(refused, err != nil)
	if err == nil {
		r.o.Conditions.Set(control.Condition{
			Code: "config-partly", Message: "part of the configuration is not in force: " + strings.Join(failed, ", "),
			Hint: "run `gatehost config reload` to try again and to see why it failed",
		}, len(failed) > 0)
		keys := hostRestartKeys(out)
		r.o.Conditions.Set(control.Condition{
			Code:    "host-restart-needed",
			Message: "the configuration differs from the one with which this host was started: " + strings.Join(keys, ", "),
			Hint:    "restart the host when convenient; gateways with on_host_exit = \"keep\" continue to run meanwhile",
		}, len(keys) > 0)
	}
}

func reasonOf(c control.ReloadChange) string {
	if c.Error != nil {
		return c.Error.Message
	}
	return c.Detail
}

func hostRestartKeys(r control.Reload) []string {
	var out []string
	for _, c := range r.Changes {
		if c.Result == control.ReloadHostRestart {
			out = append(out, c.Keys...)
		}
	}
	return out
}
