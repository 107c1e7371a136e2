package httpapi_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/gatehost/gatehost/host/internal/httpapi"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

type configs struct{ edits []control.ConfigEdit }

func (c *configs) Config(_ context.Context, _, path string) (control.GatewayConfig, error) {
	if path == "nothing" {
		return control.GatewayConfig{}, fault.New(fault.NotFound, "there is nothing at nothing")
	}
	return control.GatewayConfig{Source: control.SourceFile, Path: path, Value: json.RawMessage(`{"a":1}`)}, nil
}

func (c *configs) EditConfig(_ context.Context, _ string, edit control.ConfigEdit) (control.ConfigEdited, error) {
	c.edits = append(c.edits, edit)
	if edit.Reason == "late" {
		return control.ConfigEdited{}, fault.New(fault.Conflict, "changed twice")
	}
	return control.ConfigEdited{
		Outcome: control.ConfigChanged,
		Changes: []control.ConfigChange{{Path: edit.Path, After: edit.Value}},
	}, nil
}

func TestGatewayConfigIsReadAndEdited(t *testing.T) {
	c := &configs{}
	s := serve(t, &gateways{}, func(o *httpapi.Options) { o.Configs = c })
	got, err := s.client.Config(timeout(t), "main", `a["b c"]&d`)
	if err != nil || got.Path != `a["b c"]&d` || string(got.Value) != `{"a":1}` {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = s.client.Config(timeout(t), "main", "nothing")
	wantProblem(t, err, 404, "not_found")
	_, err = s.client.Config(timeout(t), "missing", "")
	wantProblem(t, err, 404, control.CodeNoSuchGateway)

	text := "x"
	edited, err := s.client.EditConfig(timeout(t), "main",
		control.ConfigEdit{Action: control.ConfigSet, Path: "p", Value: json.RawMessage("1")})
	if err != nil || len(edited.Changes) != 1 || string(edited.Changes[0].After) != "1" {
		t.Errorf("%+v, %v", edited, err)
	}
	_, err = s.client.EditConfig(timeout(t), "main",
		control.ConfigEdit{Action: control.ConfigUnset, Path: "p", Reason: "late"})
	wantProblem(t, err, 409, "conflict")
	given := len(c.edits)
	for _, bad := range []control.ConfigEdit{
		{},
		{Action: "replace"},
		{Action: control.ConfigSet, Path: "p"},
		{Action: control.ConfigSet, Text: &text},
		{Action: control.ConfigSet, Path: "p", Text: &text, Value: json.RawMessage("1")},
		{Action: control.ConfigSet, Path: "p", Text: &text, Force: true},
		{Action: control.ConfigUnset},
		{Action: control.ConfigUnset, Path: "p", Text: &text},
		{Action: control.ConfigPatch},
		{Action: control.ConfigPatch, Path: "p", Text: &text},
		{Action: control.ConfigUndo, Path: "p"},
	} {
		_, err := s.client.EditConfig(timeout(t), "main", bad)
		wantProblem(t, err, 400, control.CodeBadRequest)
	}
	if len(c.edits) != given {
		t.Errorf("a request that makes no sense was carried out: %+v", c.edits[given:])
	}
}
