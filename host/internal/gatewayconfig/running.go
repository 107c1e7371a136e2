package gatewayconfig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatehost/gatehost/internal/frame"
	"github.com/gatehost/gatehost/internal/json5"
	"github.com/gatehost/gatehost/shared/fault"
)

// Methods of the gateway.
const (
	methodGet    = "config.get"
	methodSet    = "config.set"
	methodLookup = "config.schema.lookup"
)

// maxLookups bounds how many changed paths are looked up.
const maxLookups = 32

// Snapshot is the used part of the answer to config.get.
type Snapshot struct {
	Path   string  `json:"path"`
	Exists bool    `json:"exists"`
	Raw    *string `json:"raw"`
	Valid  *bool   `json:"valid"`
	Hash   string  `json:"hash"`
	Issues []Issue `json:"issues"`
	// Config is the configuration that the gateway uses, defaults included: config.set takes it in this form and
	// writes what differs from its defaults. The forms of the source (raw, parsed, resolved) are not for writing
	// (T140, T141).
	Config json.RawMessage `json:"config"`

	config map[string]any
}

// Issue is one thing that the gateway says is wrong.
type Issue struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

// ask reads the configuration of a running gateway.
func (e *Editor) ask(ctx context.Context) (Snapshot, error) {
	var s Snapshot
	ctx, cancel := context.WithTimeout(ctx, e.o.CallTimeout)
	defer cancel()
	got, err := e.o.Gateway.Call(ctx, methodGet, json.RawMessage("{}"))
	if failed, ok := errors.AsType[*frame.Error](err); ok {
		return s, refused(failed)
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(got, &s); err != nil {
		return s, fmt.Errorf("cannot understand the gateway's %s: %w", methodGet, err)
	}
	config, err := decode(s.Config)
	if err != nil {
		return s, fmt.Errorf("cannot understand the gateway's %s: it has no config: %w", methodGet, err)
	}
	var ok bool
	if s.config, ok = config.(map[string]any); !ok {
		return s, fmt.Errorf("cannot understand the gateway's %s: its config is not an object", methodGet)
	}
	return s, nil
}

// refused turns the gateway's own error into one for the user.
func refused(r *frame.Error) error {
	f := fault.New(fault.FailedPrecondition, "the gateway refused: "+r.Code+": "+r.Error())
	if r.Code == "UNAVAILABLE" {
		f.Code, f.Retryable = fault.Unavailable, true
	}
	return f
}

// editRunning is one attempt by the gateway's own methods.
func (e *Editor) editRunning(ctx context.Context, how How, m Mutator, keep bool) (Result, error) {
	s, err := e.ask(ctx)
	switch {
	case err != nil && e.gone(err):
		return Result{}, errSwitched
	case err != nil:
		return Result{}, err
	case s.Exists && s.Valid != nil && !*s.Valid:
		return Result{}, notValid(s)
	}
	r := Result{By: ByGateway, Path: s.Path}
	after, err := e.apply(ctx, &how, m, s.config)
	if err != nil {
		return Result{}, err
	}
	deltas := diff(s.config, after)
	if r.Changes = shown(deltas); len(deltas) == 0 {
		return r, nil
	}
	before, readable, err := e.beforeWrite(s, how)
	if err != nil {
		return Result{}, err
	}
	r.RequiresRestart = e.restarts(ctx, r.Changes)
	rec := record{By: ByGateway, Path: s.Path}
	if keep && readable {
		if rec, err = e.begin(rec, before); err != nil {
			return Result{}, err
		}
		r.Copy = rec.ID
	}
	if ctx.Err() != nil { // last chance: from here on the edit cannot be cancelled
		e.drop(rec)
		return Result{}, context.Cause(ctx)
	}
	r.Settled, err = e.set(context.WithoutCancel(ctx), s, after, deltas)
	if err != nil {
		e.drop(rec)
		return Result{}, err
	}
	if rec.ID != "" {
		err = e.finish(rec)
	}
	return r, err
}

// gone reports whether a failed reading means that the gateway has stopped meanwhile.
func (e *Editor) gone(err error) bool {
	if _, refusal := errors.AsType[*fault.Error](err); refusal {
		return false
	}
	return errors.Is(err, ErrNoSession) || e.o.Gateway.Presence() != Online
}

func notValid(s Snapshot) error {
	text := "cannot change the configuration: the gateway says that its present one is not valid"
	if len(s.Issues) > 0 {
		text += ": " + strings.TrimPrefix(s.Issues[0].Path+": "+s.Issues[0].Message, ": ")
	}
	return fault.New(fault.FailedPrecondition, text).
		WithHint("stop the gateway and set the value in the file with the same command, or run `gatehost doctor " +
			"NAME --repair`")
}

// beforeWrite reads the file that the gateway will write: for the copy, and for comments that the gateway would
// drop. A file on another machine cannot be copied.
func (e *Editor) beforeWrite(s Snapshot, how How) (file, bool, error) {
	var f file
	readable := filepath.IsAbs(s.Path)
	if readable {
		var err error
		if f, err = readFile(s.Path); err != nil {
			return f, false, err
		}
		readable = f.exists || !s.Exists
	}
	text := string(f.data)
	if s.Raw != nil && !f.exists {
		text = *s.Raw
	}
	if doc, err := json5.Parse(text); err == nil && len(doc.Comments()) > 0 && !how.DropComments {
		return f, false, fault.New(fault.FailedPrecondition, fmt.Sprintf(
			"cannot change the configuration: a running gateway writes %s without its %d comments", s.Path,
			len(doc.Comments()))).
			WithHint("stop the gateway first: its file is then edited in place; or add --drop-comments")
	}
	return f, readable, nil
}

// restarts asks the gateway whether the changes need a restart; nil when it does not know.
func (e *Editor) restarts(ctx context.Context, changes []Change) *bool {
	no, yes := false, true
	var paths []json5.Path
	for _, c := range changes {
		leaves(c.Path, c.Before, c.After, &paths)
	}
	if len(paths) > maxLookups {
		return nil
	}
	answer := &no
	for _, p := range paths {
		params, err := json.Marshal(map[string]string{"path": strings.Join(p, ".")})
		if err != nil {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, e.o.CallTimeout)
		got, err := e.o.Gateway.Call(ctx, methodLookup, params)
		cancel()
		var kind struct {
			ReloadKind string `json:"reloadKind"`
		}
		if err != nil || json.Unmarshal(got, &kind) != nil || kind.ReloadKind == "" {
			answer = nil
			continue
		}
		if kind.ReloadKind == "restart" {
			return &yes
		}
	}
	return answer
}

// leaves lists the paths at which a change happens: the gateway's rules are about those.
func leaves(at json5.Path, before, after any, out *[]json5.Path) {
	found := false
	for _, v := range []any{before, after} {
		object, ok := v.(map[string]any)
		if !ok || len(object) == 0 {
			continue
		}
		found = true
		for k, x := range object {
			leaves(append(append(json5.Path{}, at...), k), x, nil, out)
		}
	}
	if !found {
		*out = append(*out, at)
	}
}

// set writes the configuration. When the answer is lost, the file decides: the gateway may have restarted because
// of this change.
func (e *Editor) set(ctx context.Context, s Snapshot, after map[string]any, deltas []delta) (settled bool, err error) {
	raw, err := json.MarshalIndent(after, "", "  ")
	if err != nil {
		return false, fmt.Errorf("cannot write the configuration: %w", err)
	}
	params := map[string]string{"raw": string(raw)}
	if s.Exists {
		params["baseHash"] = s.Hash
	}
	request, err := json.Marshal(params)
	if err != nil {
		return false, fmt.Errorf("cannot write the configuration: %w", err)
	}
	call, cancel := context.WithTimeout(ctx, e.o.CallTimeout)
	defer cancel()
	_, err = e.o.Gateway.Call(call, methodSet, request)
	failed, isGateways := errors.AsType[*frame.Error](err)
	switch {
	case err == nil:
		return false, nil
	case isGateways && strings.Contains(failed.Message, "re-run config.get and retry"):
		return false, errConflict
	case isGateways:
		return false, refused(failed)
	case errors.Is(err, ErrNoSession):
		return false, errSwitched
	}
	if e.persisted(ctx, s.Path, deltas) {
		return true, nil
	}
	f := fault.Wrap(fault.Unavailable,
		"cannot tell whether the configuration was changed: the gateway's answer was lost, and the file does not "+
			"show the change", err)
	f.Retryable = true
	return false, f.WithHint("check with `gatehost gateway-config NAME get`, then try again")
}

// persisted waits until the file has all changes.
func (e *Editor) persisted(ctx context.Context, path string, deltas []delta) bool {
	ctx, cancel := context.WithTimeout(ctx, e.o.Settle)
	defer cancel()
	tick := time.NewTicker(e.o.Poll)
	defer tick.Stop()
	for filepath.IsAbs(path) {
		if f, err := readFile(path); err == nil && f.exists && shows(f, deltas) {
			return true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return false
}

func shows(f file, deltas []delta) bool {
	doc, err := json5.Parse(string(f.data))
	if err != nil {
		return false
	}
	value := doc.Value()
	for _, c := range deltas {
		have, ok := Lookup(value, c.Path)
		if c.Removed == ok || ok && !like(c.wanted, have) {
			return false
		}
	}
	return true
}
