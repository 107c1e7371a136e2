package gateway

import (
	"context"
	"time"

	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// exec runs a command in the gateway's own context: its launcher, its user, its environment. The lines are redacted.
func (c *core) exec(
	ctx context.Context, argv []string, timeout time.Duration, onLine func(plugin.Line),
) (launcher.ExecResult, error) {
	cfg := c.asLaunched()
	r, err := c.buildOf(cfg)
	if err != nil {
		return launcher.ExecResult{}, err
	}
	spec := r.Process
	spec.Argv = argv
	var lines [3]redact.Lines // by stream
	res, err := c.launcher().Exec(ctx, launcher.ExecRequest{
		Gateway: c.factsOf(cfg, r), Process: spec, Timeout: timeout,
	}, func(l plugin.Line) error {
		l.Text = lines[min(max(l.Stream, 0), 2)].Line(c.env.Secrets.Redactor(), l.Text)
		onLine(l)
		return nil
	})
	c.warnOfCut(argv, res)
	return res, err
}

// warnOfCut logs that a command printed more than the host keeps.
func (c *core) warnOfCut(argv []string, res launcher.ExecResult) {
	if res.DroppedBytes > 0 {
		c.log.Warn("the output of a command was cut: it printed too much", "command", argv[0],
			"dropped_bytes", res.DroppedBytes)
	}
}
