package gateway

import (
	"context"
	"fmt"
	"strings"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/prelaunch"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// hooks runs the operator's programs before a launch, in the gateway's own context and in their order (B088).
type hooks struct{ core *core }

func (h hooks) Run(ctx context.Context) error {
	for _, hook := range h.core.conf().Launch.Hooks {
		err := h.due(ctx, hook)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil:
		case hook.Required:
			return err
		default:
			h.core.log.Warn("hook failed; going on, since it is not required", "hook", hook.Command[0], "error", err)
		}
	}
	return nil
}

// due runs a hook, unless it names its inputs and none has changed since it succeeded (B330).
func (h hooks) due(ctx context.Context, hook config.Hook) error {
	if len(hook.Inputs) == 0 {
		return h.one(ctx, hook)
	}
	path, err := h.core.env.Store.HooksFile(h.core.name)
	if err != nil {
		h.core.log.Warn("cannot know whether a hook is due, so it is run", "hook", hook.Command[0], "error", err)
		return h.one(ctx, hook)
	}
	ran, remark, err := prelaunch.New(path).Do(prelaunch.Task{
		Name: fmt.Sprintf("%q for %q", hook.Command, hook.Inputs), Words: hook.Command, Inputs: hook.Inputs, Run: func() error { return h.one(ctx, hook) },
	})
	if remark != nil {
		h.core.log.Warn("hook will run again at the next launch", "hook", hook.Command[0], "reason", remark)
	}
	if !ran {
		h.core.log.Debug("hook has nothing to do: its inputs are as it left them", "hook", hook.Command[0])
	}
	return err
}

func (h hooks) one(ctx context.Context, hook config.Hook) error {
	var last string
	h.core.log.Debug("running hook", "hook", hook.Command[0])
	res, err := h.core.exec(ctx, hook.Command, hook.Timeout, func(l plugin.Line) {
		if text := strings.TrimSpace(l.Text); text != "" {
			last = text
			h.core.log.Debug("hook says", "hook", hook.Command[0], "line", text)
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
		WithHint("mend what it says, or set required = false for it in gateways." + h.core.name + ".launch.hooks")
}
