package reload

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/shared/control"
)

// publish says in log, events and status what became of a reload.
func (l *Reloader) publish(r control.Reload, err error) {
	var failed []string
	for _, c := range r.Changes {
		log := l.o.Log.Info
		if c.Result == control.ReloadFailed {
			log = l.o.Log.Error
			failed = append(failed, strings.TrimSpace(c.Scope+" "+c.Name))
		}
		log("configuration change", "scope", c.Scope, "name", c.Name, "action", c.Action, "keys", strings.Join(c.Keys, " "), "result", c.Result, "reason", reasonOf(c))
	}
	refused := control.Condition{Code: "config-refused", Hint: "correct the file and run `gatehost config reload`"}
	if err != nil {
		r.Outcome = control.ReloadRefused
		r.Faults = strings.Split(err.Error(), "\n")
		if p, ok := errors.AsType[*control.Problem](err); ok && len(p.Faults) > 0 {
			r.Faults = p.Faults
		}
		refused.Message = fmt.Sprintf("%s was refused, the former configuration holds: %s", cmp.Or(r.Config, "the configuration"), r.Faults[0])
		if more := len(r.Faults) - 1; more > 0 {
			refused.Message += fmt.Sprintf(" (and %d more)", more)
		}
		l.o.Log.Error("configuration was not reloaded; the former one holds", "path", r.Config, "error", err)
	} else {
		l.o.Log.Info("configuration was reloaded", "path", r.Config, "outcome", r.Outcome, "changes", len(r.Changes), "failed", strings.Join(failed, ", "))
	}
	l.o.Publish(events.Event{Type: events.ConfigReloaded, Data: r})
	l.o.Conditions.Set(refused, err != nil)
	if err == nil {
		l.o.Conditions.Set(control.Condition{
			Code: "config-partly", Message: "a part of the configuration is not in force: " + strings.Join(failed, ", "),
			Hint: "`gatehost config reload` tries it again and says why it failed",
		}, len(failed) > 0)
		keys := hostRestartKeys(r)
		l.o.Conditions.Set(control.Condition{
			Code: "host-restart-needed", Message: "the configuration says otherwise than this host was started with: " + strings.Join(keys, ", "),
			Hint: "restart the host when that suits; with on_host_exit = \"keep\" gateways run on meanwhile",
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
