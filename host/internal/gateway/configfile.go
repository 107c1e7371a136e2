package gateway

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/gatewayconfig"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

// configFile is the gateway's own configuration.
type configFile struct {
	core   *core
	editor *gatewayconfig.Editor
}

func newConfigFile(c *core) *configFile {
	f := &configFile{core: c}
	f.editor = gatewayconfig.New(gatewayconfig.Options{
		Gateway: editorTarget{c}, Path: f.configPath, Roots: f.roots,
		Dir: c.env.Store.EditDir(c.name),
	})
	return f
}

// configPath returns where the gateway's configuration is.
func (f *configFile) configPath() (string, error) {
	r, err := f.core.buildOf(f.core.asLaunched())
	if err != nil {
		return "", err
	}
	if r.ConfigPath == "" {
		return "", fault.New(fault.FailedPrecondition,
			"cannot find the configuration of "+f.core.name+": its profile does not say where it is").
			WithHint("set gateways." + f.core.name + ".launch.config_path")
	}
	return r.ConfigPath, nil
}

// roots returns the directories besides that of the configuration from which it may include files.
func (f *configFile) roots() []string {
	r, err := f.core.buildOf(f.core.asLaunched())
	if err != nil {
		return nil
	}
	return r.Place.Roots
}

// align makes the gateway's own file agree with the token of a launch that comes next, where token.align allows it
// (B321). Else it says by a condition that the token is not used. A failure does not prevent the launch: the gateway
// says better what is wrong with its file.
func (f *configFile) align(ctx context.Context, b built) error {
	if b.token == "" || b.cfg.Launch.Profile != profile.OpenClaw || b.result.ConfigPath == "" {
		return nil
	}
	if err := f.editor.Recover(b.result.ConfigPath); err != nil {
		f.core.log.Warn("cannot complete an edit of the gateway's configuration that was cut off", "error", err,
			"copies", f.core.env.Store.EditDir(f.core.name))
	}
	a, unread := f.core.accessOf(b.cfg, b.result, b.token)
	if b.cfg.Token.Align != config.AlignWrite || !regular(b.result.ConfigPath) {
		if !b.cfg.Token.Named() && a.Unused(b.token) {
			f.core.log.Info("the gateway authenticates by its own file, not by the generated token", "mode", a.Mode,
				"path", a.Path)
		}
		f.core.tellUnused(b.cfg, a, b.token, nil)
		return nil
	}
	if unread != nil {
		return unread
	}
	done, err := f.editor.Edit(
		ctx, gatewayconfig.How{Launching: true, Path: b.result.ConfigPath}, gatewayconfig.Align(a, b.token),
	)
	f.edited(control.ConfigEdit{
		Action: control.ConfigAlign,
		Reason: "token.align is \"write\", and the file had another way to authenticate than gateways." + f.core.name +
			".token",
	}, done)
	a, _ = f.core.accessOf(b.cfg, b.result, b.token)
	f.core.tellUnused(b.cfg, a, b.token, err)
	return err
}

// edited logs and publishes an edit of the gateway's own configuration: paths, never values.
func (f *configFile) edited(edit control.ConfigEdit, r gatewayconfig.Result) {
	if len(r.Changes) == 0 {
		return
	}
	data := control.ConfigData{Action: edit.Action, Source: r.By, RequiresRestart: r.RequiresRestart, Reason: edit.Reason}
	for _, c := range r.Changes {
		data.Paths = append(data.Paths, c.Path.String())
	}
	if r.RequiresRestart != nil && *r.RequiresRestart {
		f.core.because(events.GatewayConfig, data)
	} else {
		f.core.publish(events.GatewayConfig, data)
	}
	f.core.log.Info("changed the gateway's configuration", "action", edit.Action, "by", r.By,
		"paths", strings.Join(data.Paths, " "), "reason", edit.Reason)
}

// editorTarget is a gateway as the editor of its configuration sees it.
type editorTarget struct{ core *core }

func (t editorTarget) Presence() gatewayconfig.Presence {
	if _, ok := t.core.engine.Session(); ok {
		return gatewayconfig.Online
	}
	s := t.core.engine.Snapshot().State
	if s.Owner() != lifecycle.OwnerNone {
		return gatewayconfig.Between
	}
	switch s.Phase { //nolint:exhaustive // in all other phases the gateway is about to change
	case lifecycle.PhaseStopped, lifecycle.PhaseError, lifecycle.PhaseBackoff, lifecycle.PhaseRetryWait:
		return gatewayconfig.Offline
	default:
		return gatewayconfig.Between
	}
}

func (t editorTarget) Call(ctx context.Context, method string, params json.RawMessage) (json.RawMessage, error) {
	s, ok := t.core.engine.Session()
	if !ok {
		return nil, gatewayconfig.ErrNoSession
	}
	return s.Call(ctx, method, params)
}
