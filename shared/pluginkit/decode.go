package pluginkit

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehost/gatehost/shared/plugin"
)

// DecodeConfig decodes a plugin's table over defaults. Keys that T does not have and values of a wrong type are
// diagnostics, all of them at once, so that the host can show each with its line. If there are any, defaults are
// returned unchanged. T is a struct with json tags; its keys match exactly, not in another case.
func DecodeConfig[T any](raw json.RawMessage, defaults T) (T, []plugin.Diagnostic) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return defaults, nil
	}
	if faults := findFaults(raw, reflect.TypeFor[T](), ""); len(faults) > 0 {
		return defaults, faults
	}
	out := defaults
	if err := json.Unmarshal(raw, &out); err != nil {
		return defaults, []plugin.Diagnostic{faultOf("", err)}
	}
	return out, nil
}

// findFaults walks a value beside its type. Types that decode themselves are asked.
func findFaults(raw json.RawMessage, t reflect.Type, path string) []plugin.Diagnostic {
	for t.Kind() == reflect.Pointer && !decodesItself(t) {
		t = t.Elem()
	}
	trimmed := bytes.TrimSpace(raw)
	switch {
	case bytes.Equal(trimmed, []byte("null")), decodesItself(t):
	case t.Kind() == reflect.Struct && bytes.HasPrefix(trimmed, []byte("{")):
		return faultsOfTable(trimmed, t, path)
	case (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) && bytes.HasPrefix(trimmed, []byte("[")):
		return faultsOfArray(trimmed, t.Elem(), path)
	case t.Kind() == reflect.Map && bytes.HasPrefix(trimmed, []byte("{")):
		return faultsOfMap(trimmed, t.Elem(), path)
	}
	if err := json.Unmarshal(raw, reflect.New(t).Interface()); err != nil {
		return []plugin.Diagnostic{faultOf(path, err)}
	}
	return nil
}

func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) ||
		p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func faultsOfTable(raw json.RawMessage, t reflect.Type, path string) []plugin.Diagnostic {
	var table map[string]json.RawMessage
	if err := json.Unmarshal(raw, &table); err != nil {
		return []plugin.Diagnostic{faultOf(path, err)}
	}
	fields := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && name != "-" && (!f.Anonymous || name != "") {
			if name == "" {
				name = f.Name
			}
			fields[name] = f.Type
		}
	}
	var faults []plugin.Diagnostic
	for _, key := range slices.Sorted(maps.Keys(table)) {
		ft, known := fields[key]
		if !known {
			faults = append(faults, unknownKey(join(path, key), slices.Sorted(maps.Keys(fields))))
			continue
		}
		faults = append(faults, findFaults(table[key], ft, join(path, key))...)
	}
	return faults
}

func unknownKey(path string, known []string) plugin.Diagnostic {
	hint := "remove it; this table has no keys"
	if len(known) > 0 {
		hint = "the keys here are: " + strings.Join(known, ", ")
	}
	return plugin.Diagnostic{
		Severity: plugin.SeverityError, Path: path, Message: "is not a key of this plugin",
		Hint: hint,
	}
}

func faultsOfArray(raw json.RawMessage, elem reflect.Type, path string) []plugin.Diagnostic {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return []plugin.Diagnostic{faultOf(path, err)}
	}
	var faults []plugin.Diagnostic
	for i, x := range list {
		faults = append(faults, findFaults(x, elem, join(path, strconv.Itoa(i)))...)
	}
	return faults
}

func faultsOfMap(raw json.RawMessage, elem reflect.Type, path string) []plugin.Diagnostic {
	var table map[string]json.RawMessage
	if err := json.Unmarshal(raw, &table); err != nil {
		return []plugin.Diagnostic{faultOf(path, err)}
	}
	var faults []plugin.Diagnostic
	for _, key := range slices.Sorted(maps.Keys(table)) {
		faults = append(faults, findFaults(table[key], elem, join(path, key))...)
	}
	return faults
}

func faultOf(path string, err error) plugin.Diagnostic {
	d := plugin.Diagnostic{Severity: plugin.SeverityError, Path: path, Message: err.Error()}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		d.Message = fmt.Sprintf("has the type %s, want %s", wrong.Value, wrong.Type)
	}
	return d
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
