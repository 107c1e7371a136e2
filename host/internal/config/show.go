package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/gatehost/gatehost/internal/redact"
)

// Tree returns the whole active configuration, defaults included, by its keys. Values of variables and keys that
// look like secrets are replaced by "[redacted]". The caller owns it.
func (c *Config) Tree() map[string]any { return hideSecrets(toTree(reflect.ValueOf(c).Elem())) }

// TOML returns Tree in a form that Parse reads.
func (c *Config) TOML() (string, error) {
	var b bytes.Buffer
	enc := toml.NewEncoder(&b)
	enc.Indent = ""
	if err := enc.Encode(c.Tree()); err != nil {
		return "", fmt.Errorf("cannot write configuration: %w", err)
	}
	return b.String(), nil
}

// toTree converts a tagged struct to what the toml package would have parsed; it omits empty values, except
// booleans.
func toTree(v reflect.Value) map[string]any {
	out := map[string]any{}
	for name, f := range tagged(v.Type()) {
		field := v.FieldByIndex(f.Index)
		if field.IsZero() && field.Kind() != reflect.Bool && field.Kind() != reflect.Float64 {
			continue
		}
		if value, ok := treeValue(field); ok {
			out[name] = value
		}
	}
	return out
}

func treeValue(field reflect.Value) (any, bool) {
	switch x := field.Interface().(type) {
	case time.Duration:
		return short(x), true
	case Size:
		return x.String(), true
	case json.RawMessage:
		return fromJSON(x)
	case Token:
		out := map[string]any{"align": cmp.Or(x.Align, AlignFill)}
		switch { // exactly one
		case x.Env != "":
			out["env"] = x.Env
		case x.File != "":
			out["file"] = x.File
		default:
			out["generate"] = true
		}
		return out, true
	case []string:
		list := make([]any, len(x))
		for i := range x {
			list[i] = x[i]
		}
		return list, true
	case map[string]string:
		table := map[string]any{}
		for k, v := range x {
			table[k] = v
		}
		return table, len(table) > 0
	}
	switch field.Kind() { //nolint:exhaustive // the kinds of the struct's fields
	case reflect.Struct:
		return toTree(field), true
	case reflect.Map:
		table := map[string]any{}
		for _, k := range field.MapKeys() {
			table[k.String()] = toTree(field.MapIndex(k).Elem())
		}
		return table, true
	case reflect.Slice:
		list := make([]map[string]any, field.Len())
		for i := range list {
			list[i] = toTree(field.Index(i))
		}
		return list, true
	case reflect.Int:
		return field.Int(), true
	default:
		return field.Interface(), true
	}
}

// fromJSON is the inverse of object: whole numbers stay whole.
func fromJSON(data json.RawMessage) (any, bool) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v map[string]any
	if err := dec.Decode(&v); err != nil {
		return nil, false
	}
	return numbers(v), true
}

func numbers(v any) any {
	switch x := v.(type) {
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return n
		}
		f, _ := x.Float64()
		return f
	case map[string]any:
		for k := range x {
			x[k] = numbers(x[k])
		}
	case []any:
		for i := range x {
			x[i] = numbers(x[i])
		}
	}
	return v
}

// hideSecrets hides the values of keys that look like secrets.
func hideSecrets(tree map[string]any) map[string]any {
	for k, v := range tree {
		switch x := v.(type) {
		case map[string]any:
			hideSecrets(x)
		case []map[string]any:
			for _, e := range x {
				hideSecrets(e)
			}
		case []any:
			for _, e := range x {
				if m, ok := e.(map[string]any); ok {
					hideSecrets(m)
				}
			}
		case string:
			if redact.Name(k) {
				tree[k] = redact.Mark
			} else if strings.Contains(x, "@") && (strings.Contains(x, "://") || strings.HasSuffix(k, "proxy")) {
				tree[k] = redact.URL(x)
			}
		}
	}
	return tree
}
