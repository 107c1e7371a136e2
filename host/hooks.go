package host

import (
	"context"
	"fmt"
	"strings"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// hooks runs the operator's programs before a launch, in the gateway's own context and in their order (B088).
type hooks struct{ g *gateway }

func (h hooks) Run(ctx context.Context) error {
	for _, hook := range h.g.cfg.Launch.Hooks {
		err := h.one(ctx, hook)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil:
		case hook.Required:
			return err
		default:
			h.g.log.Warn("hook failed; going on, since it is not required", "hook", hook.Command[0], "error", err)
		}
	}
	return nil
}

func (h hooks) one(ctx context.Context, hook config.Hook) error {
	var last string
	h.g.log.Debug("running hook", "hook", hook.Command[0])
	res, err := h.g.medic.exec(ctx, hook.Command, hook.Timeout, func(l plugin.Line) {
		if text := strings.TrimSpace(l.Text); text != "" {
			last = text
			h.g.log.Debug("hook says", "hook", hook.Command[0], "line", text)
		}
	})
	why := ""
	switch {
	case err != nil:
		why = err.Error()
	case res.TimedOut:
		why = fmt.Sprintf("it did not end within %v", hook.Timeout)
	case res.Exit.Signal != "":
		why = "killed by " + res.Exit.Signal
	case res.Exit.Code != 0:
		why = fmt.Sprintf("exit code %d", res.Exit.Code)
	default:
		return nil
	}
	if last != "" {
		why += "; it said last: " + last
	}
	return fault.New(fault.FailedPrecondition, fmt.Sprintf("hook %q failed: %s", hook.Command[0], why)).
		WithHint("mend what it says, or set required = false for it in gateways." + h.g.name + ".launch.hooks")
}
