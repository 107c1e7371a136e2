package gatewayconfig

import (
	"context"
	"fmt"

	"github.com/gatehost/gatehost/internal/json5"
	"github.com/gatehost/gatehost/shared/fault"
)

// View is a configuration in the form that is shown.
type View struct {
	By     string
	Path   string // of the file
	Exists bool
	Valid  *bool // nil: unknown, only the gateway knows it
	Issues []Issue
	Value  any // masked
	// Includes are the files that the file includes; their values are in Value. Empty when the gateway was asked.
	Includes []string
}

// Get reads the configuration, or the value at a path: the one that the gateway uses, defaults included, while it
// can be asked; else the one in the file, with what it includes. Secrets are hidden. Errors: fault.NotFound when there
// is nothing at the path, else as Edit.
func (e *Editor) Get(ctx context.Context, path json5.Path) (View, error) {
	if e.o.Gateway.Presence() == Online {
		s, err := e.ask(ctx)
		if err == nil {
			return e.view(View{By: ByGateway, Path: s.Path, Exists: s.Exists, Valid: s.Valid, Issues: s.Issues},
				s.config, path)
		}
		if !e.gone(err) {
			return View{}, err
		}
	}
	file, err := e.o.Path()
	if err != nil {
		return View{}, err
	}
	f, err := readFile(file)
	if err != nil {
		return View{}, err
	}
	_, config, err := f.parse()
	if err != nil {
		return View{}, err
	}
	v := View{By: ByFile, Path: f.path, Exists: f.exists}
	if includes(config) {
		if config, v.Includes, err = f.whole(config, e.o.Roots()); err != nil {
			return View{}, err
		}
	}
	return e.view(v, config, path)
}

func (e *Editor) view(v View, config map[string]any, path json5.Path) (View, error) {
	value, ok := Lookup(config, path)
	if !ok {
		return View{}, fault.New(fault.NotFound, fmt.Sprintf("there is nothing at %s", path)).
			WithHint("show everything with `gatehost gateway-config NAME get`")
	}
	v.Value = Mask(path, value)
	return v, nil
}

// Set is a mutator that puts a value at a path; it creates missing objects.
func Set(path json5.Path, value any) Mutator {
	return func(_ context.Context, config map[string]any) error {
		return asArgument(put(config, path, value, false))
	}
}

// Unset is a mutator that removes what is at a path; a missing value is no error.
func Unset(path json5.Path) Mutator {
	return func(_ context.Context, config map[string]any) error {
		return asArgument(put(config, path, nil, true))
	}
}

// Merge is a mutator that applies a JSON merge patch (RFC 7396): objects merge, null removes, anything else
// replaces.
func Merge(patch map[string]any) Mutator {
	return func(_ context.Context, config map[string]any) error {
		merge(config, patch)
		return nil
	}
}

func merge(into, patch map[string]any) {
	for k, v := range patch {
		switch p := v.(type) {
		case nil:
			delete(into, k)
		case map[string]any:
			inner, ok := into[k].(map[string]any)
			if !ok {
				inner = map[string]any{}
				into[k] = inner
			}
			merge(inner, p)
		default:
			into[k] = v
		}
	}
}

func asArgument(err error) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(fault.InvalidArgument, "", err)
}
