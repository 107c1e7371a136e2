package gateway

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/host/internal/repair"
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
	spec := r.AtItsPlace()
	spec.Argv = argv
	return c.execAs(ctx, cfg, r, spec, timeout, onLine)
}

func (c *core) execAs(
	ctx context.Context, cfg *config.Gateway, r profile.Result, spec plugin.ProcessSpec, timeout time.Duration,
	onLine func(plugin.Line),
) (launcher.ExecResult, error) {
	var lines [3]redact.Lines // by stream
	res, err := c.launcher().Exec(ctx, launcher.ExecRequest{
		Gateway: c.factsOf(cfg, r), Process: spec, Timeout: timeout,
	}, func(l plugin.Line) error {
		l.Text = lines[min(max(l.Stream, 0), 2)].Line(c.env.Secrets.Redactor(), l.Text)
		onLine(l)
		return nil
	})
	c.warnOfCut(spec.Argv, res)
	return res, err
}

// execJob runs a command for a doctor, in the gateway's context as far as the job may have it: without the gateway's
// secrets, unless it is a known step, and evidence in a sandbox where there is one. The lines are redacted.
func (c *core) execJob(ctx context.Context, job repair.Job, onLine func(plugin.Line)) (repair.Ran, error) {
	if job.Secrets {
		res, err := c.exec(ctx, job.Argv, job.Timeout, onLine)
		return repair.Ran{ExecResult: res}, err
	}
	cfg := c.asLaunched()
	r, err := c.buildOf(cfg)
	if err != nil {
		return repair.Ran{}, err
	}
	temp, err := os.MkdirTemp("", "gatehost-command-")
	if err != nil {
		return repair.Ran{}, fmt.Errorf("cannot run a command for a doctor: %w", err)
	}
	defer func() {
		if err := os.RemoveAll(temp); err != nil {
			c.log.Warn("cannot remove the temporary directory of a command", "path", temp, "error", err)
		}
	}()
	spec := r.WithoutSecrets(temp)
	spec.Argv = slices.Clone(job.Argv)
	var ran repair.Ran
	if job.Kind == repair.KindEvidence {
		if ran.Unsandboxed, err = boxOf(c.conf().Repair, cfg.Launch.Command, r, spec, temp).wrap(&spec); err != nil {
			return ran, err
		}
		ran.Sandboxed = ran.Unsandboxed == ""
	}
	ran.ExecResult, err = c.execAs(ctx, cfg, r, spec, job.Timeout, func(l plugin.Line) {
		if ran.Sandboxed && ran.Denied == "" && denial.MatchString(l.Text) {
			ran.Denied = l.Text
		}
		onLine(l)
	})
	if ran.Denied != "" || ran.Sandboxed && err == nil && (ran.Exit.Code == 126 || ran.Exit.Code == 127) {
		c.log.Warn("the sandbox for evidence denied the gateway's command something", "argv", job.Argv,
			"exit", ran.Exit.String(), "line", ran.Denied,
			"hint", "add what it has to read to gateways."+c.name+".repair.evidence_read")
	}
	return ran, err
}

// denial finds what programs print when a sandbox denies them a file, a connection or a call: the kernel's errors, and
// those of SQLite.
var denial = regexp.MustCompile(`\b(?:EACCES|EPERM|EROFS|EXDEV)\b|unable to open database file|` +
	`attempt to write a readonly database`)

// warnOfCut logs that a command printed more than the host keeps.
func (c *core) warnOfCut(argv []string, res launcher.ExecResult) {
	if res.DroppedBytes > 0 {
		c.log.Warn("the output of a command was cut: it printed too much", "command", argv[0],
			"dropped_bytes", res.DroppedBytes)
	}
}
