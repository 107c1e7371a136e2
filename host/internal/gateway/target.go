package gateway

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gatehost/gatehost/host/internal/doctors"
	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/probe"
	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/plugin"
)

// doctorTarget is the gateway as its doctors see it.
type doctorTarget struct{ core *core }

var _ doctors.Target = doctorTarget{}

func (t doctorTarget) Facts() plugin.GatewayFacts { return t.core.facts() }

func (t doctorTarget) Redact() func(string) string { return t.core.redactor().Text }

func (t doctorTarget) Exec(
	ctx context.Context, job repair.Job, onLine func(plugin.Line),
) (repair.Ran, error) {
	return t.core.execJob(ctx, job, onLine)
}

func (t doctorTarget) Chain() []repair.Named {
	var chain []repair.Named
	s := t.core.Settings()
	for _, name := range s.Doctors {
		grants := s.grants[name]
		chain = append(chain, repair.Named{
			Name: name, Doctor: t.core.env.Plugins.Doctor(name),
			Content:  slices.Contains(grants, plugin.GrantGatewayConfig),
			Files:    slices.Contains(grants, plugin.GrantGatewayFiles),
			Commands: plugin.CommandsOf(grants),
		})
	}
	return chain
}

func (t doctorTarget) RestoresByItself() bool {
	return t.core.conf().Repair.Restore == control.RestoreLastGood
}

func (t doctorTarget) RepairsByItself() bool {
	return lifecycle.RepairMode(t.core.conf().Repair.Mode) == lifecycle.RepairAuto
}

func (t doctorTarget) Conditions() []lifecycle.Condition {
	return t.core.engine.Snapshot().Record.Conditions()
}

func (t doctorTarget) StableAfter() time.Duration { return t.core.conf().Reconnect.StableAfter }

func (t doctorTarget) Revise(ctx context.Context, since time.Time, p lifecycle.Problem) error {
	return t.core.engine.Revise(ctx, since, p)
}

func (t doctorTarget) State() lifecycle.State { return t.core.State() }

func (t doctorTarget) Stop(ctx context.Context) (lifecycle.Outcome, error) {
	return t.core.engine.Stop(ctx, engine.StopOptions{})
}

func (t doctorTarget) Start(ctx context.Context) (lifecycle.Outcome, error) {
	return t.core.engine.Start(ctx)
}

func (t doctorTarget) Publish(kind events.Type, data any) {
	if done, ok := data.(*control.DoctorResult); ok && kind == events.GatewayDoctorFinished {
		t.core.env.Metrics.Repair(t.core.name, done.Outcome)
	}
	t.core.publish(kind, data)
}

func (t doctorTarget) PortOwner(ctx context.Context) string {
	port := t.core.asLaunched().Port
	holders, err := probe.Holders(ctx, port)
	if err != nil || len(holders) == 0 {
		return ""
	}
	return fmt.Sprintf(" (port %d: %s)", port, holders[0])
}
