package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// unimplemented lists, in this one place, the keys that are read and checked but whose function does not exist yet; * stands for
// a name. Remove a row with the change that gives the key its function.
var unimplemented = []string{
	"control.tcp", "control.token_file",
	"plugins.*.user",
}

// notYet warns of such keys where they have another value than the default.
func (d *decoder) notYet(c *Config) []Fault {
	var found Faults
	usual := rawDefaults()
	tree := toTree(reflect.ValueOf(c).Elem())
	for _, pattern := range unimplemented {
		visit(tree, strings.Split(pattern, "."), nil, func(key []string, value any) {
			if reflect.DeepEqual(usual[pattern], value) {
				return
			}
			found = append(found, d.where.Fault(d.file, key, "is not implemented yet and changes nothing", ""))
		})
	}
	found.Sort()
	return found
}

// visit calls back for each value whose key fits a pattern.
func visit(raw any, pattern, key []string, found func(key []string, value any)) {
	if len(pattern) == 0 {
		found(key, raw)
		return
	}
	m, ok := raw.(map[string]any)
	if !ok {
		return
	}
	for name, value := range m {
		if pattern[0] == "*" || pattern[0] == name {
			visit(value, pattern[1:], under(key, name), found)
		}
	}
}

// rawDefaults is the defaults of such keys as a file would give them.
func rawDefaults() map[string]any {
	c := defaults()
	c.Plugins["*"], c.Gateways["*"] = newPlugin("*"), newGateway("*")
	out := map[string]any{}
	tree := toTree(reflect.ValueOf(c).Elem())
	for _, pattern := range unimplemented {
		visit(tree, strings.Split(pattern, "."), nil, func(_ []string, value any) { out[pattern] = value })
	}
	return out
}

// keys lists every key that exists, with * for names, in the order of the structs.
func keys() []string {
	var out []string
	var walk func(t reflect.Type, prefix string)
	walk = func(t reflect.Type, prefix string) {
		for f := range t.Fields() {
			name := f.Tag.Get("toml")
			if name == "" {
				continue
			}
			key := prefix + name
			switch ft := f.Type; {
			case ft.Kind() == reflect.Struct:
				walk(ft, key+".")
			case ft.Kind() == reflect.Map && ft.Elem().Kind() == reflect.Pointer:
				walk(ft.Elem().Elem(), key+".*.")
			case ft.Kind() == reflect.Slice && ft.Elem().Kind() == reflect.Struct:
				walk(ft.Elem(), key+"."+strconv.Itoa(0)+".")
			default:
				out = append(out, key)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	return slices.Clip(out)
}
