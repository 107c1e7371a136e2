package host

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/gatewayconfig"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/internal/json5"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

func newConfigEditor(g *gateway) *gatewayconfig.Editor {
	return gatewayconfig.New(gatewayconfig.Options{
		Gateway: configured{g}, Path: g.configPath, Dir: g.host.store.EditDir(g.name),
	})
}

// configPath is where the gateway's configuration is.
func (g *gateway) configPath() (string, error) {
	r, err := g.build()
	if err != nil {
		return "", err
	}
	if r.ConfigPath == "" {
		return "", fault.New(fault.FailedPrecondition, "cannot find the configuration of "+g.name+": its profile does not say where it is").
			WithHint("set gateways." + g.name + ".launch.config_path")
	}
	return r.ConfigPath, nil
}

// align makes the file of a gateway that is about to be launched agree with the token that it is launched with (B321). A failure keeps
// nothing from launching: the gateway says better what is wrong with its file.
func (g *gateway) align(ctx context.Context, r profile.Result) {
	token, err := g.token()
	if err != nil || token == "" || g.asLaunched().Launch.Profile != "openclaw" || r.ConfigPath == "" {
		return
	}
	if _, err := os.Stat(r.ConfigPath); err != nil {
		return
	}
	done, err := g.config.Edit(ctx, gatewayconfig.How{Launching: true}, gatewayconfig.Align(token))
	if err != nil {
		g.log.Warn("cannot see to it that the gateway's file agrees with its token", "error", err)
	}
	g.tellEdit(control.ConfigEdit{Action: control.ConfigAlign, Reason: "the file had another way to authenticate than gateways." + g.name + ".token"}, done)
}

// tellEdit logs and publishes an edit: paths, never values.
func (g *gateway) tellEdit(edit control.ConfigEdit, r gatewayconfig.Result) {
	if len(r.Changes) == 0 {
		return
	}
	data := control.ConfigData{Action: edit.Action, Source: r.By, RequiresRestart: r.RequiresRestart, Reason: edit.Reason}
	for _, c := range r.Changes {
		data.Paths = append(data.Paths, c.Path.String())
	}
	if r.RequiresRestart != nil && *r.RequiresRestart {
		g.watch.because(events.GatewayConfig, data)
	} else {
		g.watch.publish(events.GatewayConfig, data)
	}
	g.log.Info("changed the gateway's configuration", "action", edit.Action, "by", r.By, "paths", strings.Join(data.Paths, " "), "reason", edit.Reason)
}

// configured is a gateway as the editor of its configuration sees it.
type configured struct{ g *gateway }

func (c configured) Presence() gatewayconfig.Presence {
	if _, ok := c.g.engine.Session(); ok {
		return gatewayconfig.Online
	}
	s := c.g.engine.Snapshot().State
	if s.Owner() != lifecycle.OwnerNone {
		return gatewayconfig.Between
	}
	switch s.Phase { //nolint:exhaustive // in all others something is about to happen to it
	case lifecycle.PhaseStopped, lifecycle.PhaseError, lifecycle.PhaseBackoff, lifecycle.PhaseRetryWait:
		return gatewayconfig.Offline
	default:
		return gatewayconfig.Between
	}
}

func (c configured) Call(ctx context.Context, method string, params json.RawMessage) (json.RawMessage, error) {
	s, ok := c.g.engine.Session()
	if !ok {
		return nil, gatewayconfig.ErrNoSession
	}
	return s.Call(ctx, method, params)
}

// Config reads a gateway's own configuration.
func (a api) Config(ctx context.Context, name, at string) (control.GatewayConfig, error) {
	g, err := a.find(name)
	if err != nil {
		return control.GatewayConfig{}, err
	}
	path, err := pathOf(at)
	if err != nil {
		return control.GatewayConfig{}, err
	}
	if !a.h.calls.begin() {
		return control.GatewayConfig{}, restarting()
	}
	defer a.h.calls.end()
	v, err := g.config.Get(ctx, path)
	if err != nil {
		return control.GatewayConfig{}, err
	}
	out := control.GatewayConfig{Source: v.By, File: v.Path, Exists: v.Exists, Valid: v.Valid, Path: path.String()}
	for _, i := range v.Issues {
		out.Issues = append(out.Issues, control.ConfigIssue{Path: i.Path, Message: i.Message})
	}
	out.Value, err = json.Marshal(v.Value)
	return out, err
}

// EditConfig changes a gateway's own configuration.
func (a api) EditConfig(ctx context.Context, name string, edit control.ConfigEdit) (control.ConfigEdited, error) {
	g, err := a.find(name)
	if err != nil {
		return control.ConfigEdited{}, err
	}
	mutate, err := mutatorOf(edit)
	if err != nil {
		return control.ConfigEdited{}, err
	}
	if !a.h.calls.begin() {
		return control.ConfigEdited{}, restarting()
	}
	defer a.h.calls.end()
	how := gatewayconfig.How{DropComments: edit.DropComments}
	var r gatewayconfig.Result
	if edit.Action == control.ConfigUndo {
		r, err = g.config.Undo(ctx, how, edit.Force)
	} else {
		r, err = g.config.Edit(ctx, how, mutate)
	}
	g.tellEdit(edit, r) // also with an error: it was changed, and something else went wrong
	return editedOf(edit, r), err
}

func editedOf(edit control.ConfigEdit, r gatewayconfig.Result) control.ConfigEdited {
	out := control.ConfigEdited{
		Outcome: control.ConfigChanged, Source: r.By, File: r.Path, Changes: []control.ConfigChange{}, RequiresRestart: r.RequiresRestart,
		Settled: r.Settled, Copy: r.Copy,
	}
	switch {
	case edit.Action == control.ConfigUndo:
		out.Outcome = control.ConfigUndone
	case len(r.Changes) == 0:
		out.Outcome = control.ConfigUnchanged
	}
	for _, c := range r.Changes {
		change := control.ConfigChange{Path: c.Path.String()}
		if !c.Added {
			change.Before = jsonOf(c.Before)
		}
		if !c.Removed {
			change.After = jsonOf(c.After)
		}
		out.Changes = append(out.Changes, change)
	}
	return out
}

// jsonOf shows a value; of JSON5 there are numbers that JSON does not have.
func jsonOf(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		data, _ = json.Marshal(fmt.Sprint(v))
	}
	return data
}

func pathOf(s string) (json5.Path, error) {
	path, err := json5.ParsePath(s)
	if err != nil {
		return nil, fault.Wrap(fault.InvalidArgument, "", err)
	}
	return path, nil
}

// mutatorOf is what an edit does; nil for undo.
func mutatorOf(edit control.ConfigEdit) (gatewayconfig.Mutator, error) {
	if edit.Action == control.ConfigUndo {
		return nil, nil //nolint:nilnil // undo knows by itself what to do
	}
	path, err := pathOf(edit.Path)
	if err != nil {
		return nil, err
	}
	if edit.Action == control.ConfigUnset {
		return gatewayconfig.Unset(path), nil
	}
	value, err := valueOf(edit)
	if err != nil {
		return nil, err
	}
	switch patch, isObject := value.(map[string]any); {
	case edit.Action == control.ConfigSet:
		return gatewayconfig.Set(path, value), nil
	case edit.Action == control.ConfigPatch && isObject:
		return gatewayconfig.Merge(patch), nil
	case edit.Action == control.ConfigPatch:
		return nil, fault.New(fault.InvalidArgument, "a patch is an object")
	default:
		return nil, fault.New(fault.InvalidArgument, fmt.Sprintf("there is no action %q", edit.Action))
	}
}

// valueOf reads a value. A text that is no JSON5 is itself the value, unless it set out to be some.
func valueOf(edit control.ConfigEdit) (any, error) {
	text := string(edit.Value)
	if edit.Text != nil {
		text = *edit.Text
	}
	doc, err := json5.Parse(text)
	switch {
	case err == nil:
		return doc.Value(), nil
	case edit.Text == nil || edit.Action != control.ConfigSet || strings.ContainsAny(text[:min(len(text), 1)], `{["'`):
		return nil, fault.Wrap(fault.InvalidArgument, "cannot understand the value", err)
	default:
		return text, nil
	}
}
