package config

import (
	"maps"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/gatehost/gatehost/host/internal/tomltext"
)

// When says when a change of a key takes effect that is made while the host runs.
type When string

// The moments at which a change can take effect.
const (
	Now         When = "now"
	NextSession When = "session" // with the next session with the gateway
	NextLaunch  When = "launch"  // with the next process of the gateway; a running one continues as it was launched
	HostRestart When = "host"    // with the next host
)

// Change is a key whose value differs. It holds no values, since they may be secrets.
type Change struct {
	Key  []string
	When When
}

// String returns the key, dotted.
func (c Change) String() string { return tomltext.Dotted(c.Key) }

// Changes lists, in order, the keys whose values differ in to; of plugins and gateways those that exist in both.
func (c *Config) Changes(to *Config) []Change {
	var out []Change
	compare(reflect.ValueOf(c).Elem(), reflect.ValueOf(to).Elem(), nil, Now, &out)
	slices.SortFunc(out, func(a, b Change) int { return slices.Compare(a.Key, b.Key) })
	return out
}

func compare(a, b reflect.Value, key []string, when When, out *[]Change) {
	for name, f := range tagged(a.Type()) {
		at, inside := under(key, name), when
		if tag := f.Tag.Get("applies"); tag != "" {
			inside = When(tag)
		}
		x, y := a.FieldByIndex(f.Index), b.FieldByIndex(f.Index)
		switch {
		case x.Kind() == reflect.Struct && x.Type() != reflect.TypeFor[Token]():
			compare(x, y, at, inside, out)
		case x.Kind() == reflect.Map && x.Type().Elem().Kind() == reflect.Pointer:
			for _, k := range x.MapKeys() {
				if other := y.MapIndex(k); other.IsValid() {
					compare(x.MapIndex(k).Elem(), other.Elem(), under(at, k.String()), inside, out)
				}
			}
		case x.Kind() == reflect.Map:
			//nolint:forcetypeassert // the only other map
			for _, k := range differing(x.Interface().(map[string]string), y.Interface().(map[string]string)) {
				*out = append(*out, Change{under(at, k), inside})
			}
		case !same(x, y, name):
			*out = append(*out, Change{at, inside})
		}
	}
}

// same treats a missing and an empty list as equal, except for args: an empty list replaces the profile's.
func same(x, y reflect.Value, name string) bool {
	if x.Kind() == reflect.Slice && x.Len() == 0 && y.Len() == 0 && name != "args" {
		return true
	}
	return reflect.DeepEqual(x.Interface(), y.Interface())
}

func differing(a, b map[string]string) []string {
	var out []string
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			out = append(out, k)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			out = append(out, k)
		}
	}
	return out
}

// Under returns c as far as it can take effect in a host that was started with another configuration: what only the
// next host can change stays as in running, and so does what follows from it. Plugins and gateways of the result
// may be exchanged; everything else is shared with c.
func (c *Config) Under(running *Config) *Config {
	out := *c
	keep(reflect.ValueOf(&out).Elem(), reflect.ValueOf(running).Elem())
	out.Plugins, out.Gateways = maps.Clone(c.Plugins), maps.Clone(c.Gateways)
	for name, g := range out.Gateways {
		if g.Launch.StateDir == gatewayStateDir(c.StateDir, name) {
			moved := *g
			moved.Launch.StateDir = gatewayStateDir(out.StateDir, name)
			out.Gateways[name] = &moved
		}
	}
	return &out
}

func keep(to, from reflect.Value) {
	for _, f := range tagged(to.Type()) {
		switch x := to.FieldByIndex(f.Index); {
		case When(f.Tag.Get("applies")) == HostRestart:
			x.Set(from.FieldByIndex(f.Index))
		case x.Kind() == reflect.Struct:
			keep(x, from.FieldByIndex(f.Index))
		}
	}
}

// gatewayStateDir is the directory for a gateway's state when the configuration names none.
func gatewayStateDir(stateDir, gateway string) string {
	return filepath.Join(stateDir, "gateways", gateway, "openclaw")
}
