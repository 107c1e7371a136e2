package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehost/gatehost/host/internal/doctors"
	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/probe"
	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Doctor is a request to the doctors of the gateway: it tells findings, the plan, progress and one result.
func (g *Gateway) Doctor(ctx context.Context, req control.DoctorRequest, tell func(control.DoctorMessage)) error {
	return g.doctors.Request(ctx, req, tell)
}

// doctorTarget is the gateway as its doctors see it.
type doctorTarget struct{ g *Gateway }

var _ doctors.Target = doctorTarget{}

func (t doctorTarget) Facts() plugin.GatewayFacts { return t.g.facts() }

func (t doctorTarget) Redact() func(string) string { return t.g.redactor().Text }

func (t doctorTarget) Exec(
	ctx context.Context, argv []string, timeout time.Duration, onLine func(plugin.Line),
) (launcher.ExecResult, error) {
	return t.g.exec(ctx, argv, timeout, onLine)
}

func (t doctorTarget) Chain() []repair.Named {
	var chain []repair.Named
	s := t.g.Settings()
	for _, name := range s.Doctors {
		chain = append(chain, repair.Named{Name: name, Doctor: t.g.env.Plugins.Doctor(name), Content: s.Content[name]})
	}
	return chain
}

func (t doctorTarget) RestoresByItself() bool {
	return t.g.conf().Repair.Restore == control.RestoreLastGood
}

func (t doctorTarget) State() lifecycle.State { return t.g.State() }

func (t doctorTarget) Stop(ctx context.Context) (lifecycle.Outcome, error) {
	return t.g.engine.Stop(ctx, engine.StopOptions{})
}

func (t doctorTarget) Start(ctx context.Context) (lifecycle.Outcome, error) {
	return t.g.engine.Start(ctx)
}

func (t doctorTarget) Publish(kind events.Type, data any) {
	if done, ok := data.(*control.DoctorResult); ok && kind == events.GatewayDoctorFinished {
		t.g.env.Metrics.Repair(t.g.name, done.Outcome)
	}
	t.g.publish(kind, data)
}

func (t doctorTarget) PortOwner(ctx context.Context) string {
	port := t.g.asLaunched().Port
	holders, err := probe.Holders(ctx, port)
	if err != nil || len(holders) == 0 {
		return ""
	}
	return fmt.Sprintf(" (port %d: %s)", port, holders[0])
}

// exec runs a command in the gateway's own context: its launcher, its user, its environment.
func (g *Gateway) exec(
	ctx context.Context, argv []string, timeout time.Duration, onLine func(plugin.Line),
) (launcher.ExecResult, error) {
	cfg := g.asLaunched()
	r, err := g.buildOf(cfg)
	if err != nil {
		return launcher.ExecResult{}, err
	}
	spec := r.Process
	spec.Argv = argv
	redactor := redactorOf(r)
	res, err := g.launcher().Exec(ctx, launcher.ExecRequest{
		Gateway: g.factsOf(cfg, r), Process: spec, Timeout: timeout,
	}, func(l plugin.Line) error {
		l.Text = redactor.Text(l.Text)
		onLine(l)
		return nil
	})
	g.warnOfCut(argv, res)
	return res, err
}

// warnOfCut logs that a command printed more than was kept of it.
func (g *Gateway) warnOfCut(argv []string, res launcher.ExecResult) {
	if res.DroppedBytes > 0 {
		g.log.Warn("the output of a command was cut: it printed too much", "command", argv[0], "dropped_bytes", res.DroppedBytes)
	}
}
