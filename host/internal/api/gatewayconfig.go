package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gatehost/gatehost/host/internal/gatewayconfig"
	"github.com/gatehost/gatehost/internal/json5"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

// Config reads a gateway's own configuration, or the part of it at a path.
func (s *Service) Config(ctx context.Context, name, at string) (control.GatewayConfig, error) {
	g, err := s.find(name)
	if err != nil {
		return control.GatewayConfig{}, err
	}
	path, err := pathOf(at)
	if err != nil {
		return control.GatewayConfig{}, err
	}
	if !s.inflight.begin() {
		return control.GatewayConfig{}, control.HostRestarting()
	}
	defer s.inflight.end()
	v, err := g.Editor().Get(ctx, path)
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

// EditConfig changes a gateway's own configuration, or takes the last change back.
func (s *Service) EditConfig(ctx context.Context, name string, edit control.ConfigEdit) (control.ConfigEdited, error) {
	g, err := s.find(name)
	if err != nil {
		return control.ConfigEdited{}, err
	}
	mutate, err := mutatorOf(edit)
	if err != nil {
		return control.ConfigEdited{}, err
	}
	if !s.inflight.begin() {
		return control.ConfigEdited{}, control.HostRestarting()
	}
	defer s.inflight.end()
	how := gatewayconfig.How{DropComments: edit.DropComments}
	var r gatewayconfig.Result
	if edit.Action == control.ConfigUndo {
		r, err = g.Editor().Undo(ctx, how, edit.Force)
	} else {
		r, err = g.Editor().Edit(ctx, how, mutate)
	}
	g.Edited(edit, r) // with an error, too: the file may have been changed before something else failed
	return editedOf(edit, r), err
}

func editedOf(edit control.ConfigEdit, r gatewayconfig.Result) control.ConfigEdited {
	out := control.ConfigEdited{
		Outcome: control.ConfigChanged, Source: r.By, File: r.Path, Changes: []control.ConfigChange{},
		RequiresRestart: r.RequiresRestart, Settled: r.Settled, Copy: r.Copy,
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

// jsonOf encodes a value as JSON. JSON5 has numbers that JSON does not have; those become strings.
func jsonOf(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		data, _ = json.Marshal(fmt.Sprint(v))
	}
	return data
}

func pathOf(text string) (json5.Path, error) {
	path, err := json5.ParsePath(text)
	if err != nil {
		return nil, fault.Wrap(fault.InvalidArgument, "", err)
	}
	return path, nil
}

// mutatorOf returns the change that an edit asks for; nil for an undo.
func mutatorOf(edit control.ConfigEdit) (gatewayconfig.Mutator, error) {
	if edit.Action == control.ConfigUndo {
		return nil, nil //nolint:nilnil // an undo needs no mutator
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

// valueOf reads a value. A text that is not JSON5 is itself the value, unless it begins like an object, an array or a
// quoted string.
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
