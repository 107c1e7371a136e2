package reload

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/conditions"
	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/gateway"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/registry"
	"github.com/gatehost/gatehost/shared/control"
)

// Options are the parts of the host that a reload changes.
type Options struct {
	Registry   *registry.Registry
	Plugins    *pluginhost.Host
	Turn       *Turn
	Conditions *conditions.Set
	Log        hclog.Logger
	Publish    func(events.Event)
	// New makes a gateway that does nothing yet; Begin makes it run until the host ends, or until its End.
	New   func(gateway.Settings) (*gateway.Gateway, error)
	Begin func(*gateway.Gateway)
}

// Reloader puts another configuration in force while the host runs, one reload at a time.
type Reloader struct{ o Options }

// New makes a reloader. It waits until its turn is opened.
func New(o Options) *Reloader { return &Reloader{o} }

// Reload reads the configuration file again and puts it in force without touching a running gateway. Plugins are
// reconfigured, replaced and ended; settings of gateways count from now on; what concerns a process counts from its
// next launch; what concerns the host itself counts from the next host. The caller holds the turn. A part that fails
// stays as it was, and the answer says so. Errors, with nothing changed, are a *control.Problem: CodeBadConfig with all
// faults of the file, CodeGatewaysGone, or that the host is stopping. The end of ctx ends the waiting, and what has not
// begun.
func (r *Reloader) Reload(ctx context.Context, req control.ReloadRequest) (control.Reload, error) {
	began := time.Now()
	out, err := r.reload(ctx, req)
	out.TookMs = time.Since(began).Milliseconds()
	if !req.DryRun {
		r.publish(out, err)
	}
	return out, err
}

func (r *Reloader) reload(ctx context.Context, req control.ReloadRequest) (control.Reload, error) {
	path := r.o.Registry.Config().Path
	out := control.Reload{Config: path}
	file, err := config.LoadAgain(path)
	if err != nil {
		return out, badConfig(err)
	}
	out.Config = file.Path
	for _, w := range file.Warnings() {
		r.o.Log.Warn("configuration", "warning", w.String())
	}
	p, err := r.plan(file)
	if err != nil {
		return out, badConfig(err)
	}
	if faults := p.missing(r.o.Plugins); len(faults) > 0 {
		return out, badConfig(faults)
	}
	switch {
	case len(p.removed) > 0 && !req.Remove:
		return out, p.refusal()
	case req.DryRun:
		out.Changes, out.Outcome = p.preview(ctx), control.ReloadPlanned
	default:
		out.Changes, err = r.apply(ctx, p)
		out.Outcome = outcomeOf(out.Changes)
	}
	if len(out.Changes) == 0 {
		out.Outcome = control.ReloadUnchanged
	}
	return out, err
}

// plan compares what a file says with what is in force now.
func (r *Reloader) plan(file *config.Config) (*plan, error) {
	now := r.o.Registry.Now()
	return planFor(now, file, r.o.Plugins, heldBy(now))
}

func outcomeOf(changes []control.ReloadChange) string {
	if slices.ContainsFunc(changes, func(c control.ReloadChange) bool { return c.Result == control.ReloadFailed }) {
		return control.ReloadPartly
	}
	return control.ReloadApplied
}

// badConfig is the error for a file that cannot be put in force, with everything that is wrong with it.
func badConfig(err error) error {
	p := &control.Problem{
		Status: http.StatusUnprocessableEntity, Code: control.CodeBadConfig,
		Title: http.StatusText(http.StatusUnprocessableEntity), Detail: err.Error(),
		Hint: "nothing was changed; fix the file and run `gatehost config reload`", Faults: []string{err.Error()},
	}
	if faults, ok := errors.AsType[config.Faults](err); ok {
		p.Faults = nil
		for _, f := range faults {
			p.Faults = append(p.Faults, f.String())
		}
	}
	return p
}
