package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehost/gatehost/host/internal/tomltext"
)

// decoder copies what the toml package parsed into a Config and collects what does not fit. The toml package itself
// would stop at the first wrong type.
type decoder struct {
	file   string
	where  tomltext.Positions
	faults Faults
}

// decode reads a text as TOML; the decoder is for its contents. The error is a Faults.
func decode(name string, data []byte) (*decoder, map[string]any, error) {
	raw, err := tomltext.Decode(name, data)
	if err != nil {
		return nil, nil, err
	}
	return &decoder{file: name, where: tomltext.FindPositions(string(data))}, raw, nil
}

func (d *decoder) fault(key []string, hint, format string, args ...any) {
	d.faults = append(d.faults, d.where.Fault(d.file, key, fmt.Sprintf(format, args...), hint))
}

// under returns key with one more part; it does not change key.
func under(key []string, part string) []string { return append(slices.Clip(key), part) }

// table decodes into the tagged fields of a struct.
func (d *decoder) table(into reflect.Value, raw any, key []string) {
	m, ok := raw.(map[string]any)
	if !ok {
		d.wrongType(key, "a table", raw)
		return
	}
	fields := tagged(into.Type())
	for _, name := range slices.Sorted(maps.Keys(m)) {
		f, ok := fields[name]
		if !ok {
			d.fault(under(key, name), tomltext.DidYouMean(name, slices.Sorted(maps.Keys(fields))), "unknown key")
			continue
		}
		d.field(into.FieldByIndex(f.Index), f.Tag, m[name], under(key, name))
	}
}

// tagged returns the fields of a struct by their key.
func tagged(t reflect.Type) map[string]reflect.StructField {
	fields := map[string]reflect.StructField{}
	for f := range t.Fields() {
		if name := f.Tag.Get("toml"); name != "" {
			fields[name] = f
		}
	}
	return fields
}

func (d *decoder) field(into reflect.Value, tag reflect.StructTag, raw any, key []string) {
	switch v := into.Addr().Interface().(type) {
	case *string:
		d.text(v, tag, raw, key)
	case *bool:
		if b, ok := raw.(bool); ok {
			*v = b
		} else {
			d.wrongType(key, "true or false", raw)
		}
	case *int:
		d.integer(v, tag, raw, key)
	case *float64:
		d.fraction(v, tag, raw, key)
	case *Size:
		d.size(v, tag, raw, key)
	case *time.Duration:
		d.duration(v, tag, raw, key)
	case *[]string:
		d.texts(v, tag, raw, key)
	case *map[string]string:
		d.environment(v, raw, key)
	case *json.RawMessage:
		d.object(v, raw, key)
	case *map[string]*Plugin:
		named(d, *v, newPlugin, raw, key)
	case *map[string]*Gateway:
		named(d, *v, newGateway, raw, key)
	case *[]Hook:
		d.hooks(v, raw, key)
	default:
		d.table(into, raw, key)
	}
}

func (d *decoder) text(v *string, tag reflect.StructTag, raw any, key []string) {
	s, ok := raw.(string)
	switch words := tag.Get("oneof"); {
	case !ok:
		d.wrongType(key, "a string", raw)
	case strings.ContainsRune(s, 0):
		d.fault(key, "", "must not hold a NUL character")
	case words != "" && !slices.Contains(strings.Split(words, "|"), s):
		d.fault(key, tomltext.DidYouMean(s, strings.Split(words, "|")), "%q is none of %s", s,
			strings.ReplaceAll(words, "|", ", "))
	case s == "" && words == "":
		d.fault(key, "remove the key to use its default", "must not be empty")
	default:
		*v = s
	}
}

func (d *decoder) integer(v *int, tag reflect.StructTag, raw any, key []string) {
	n, ok := raw.(int64)
	if !ok {
		d.wrongType(key, "an integer", raw)
		return
	}
	low, high := int64(0), int64(1<<31-1)
	if s := tag.Get("min"); s != "" {
		low = must(strconv.ParseInt(s, 10, 64))
	}
	if s := tag.Get("max"); s != "" {
		high = must(strconv.ParseInt(s, 10, 64))
	}
	if n < low || n > high {
		d.fault(key, "", "%d is not between %d and %d", n, low, high)
		return
	}
	*v = int(n)
}

// fraction also accepts whole numbers: 0 needs no point.
func (d *decoder) fraction(v *float64, tag reflect.StructTag, raw any, key []string) {
	x, ok := raw.(float64)
	if n, whole := raw.(int64); whole {
		x, ok = float64(n), true
	}
	if !ok {
		d.wrongType(key, "a number", raw)
		return
	}
	low, high := must(strconv.ParseFloat(tag.Get("min"), 64)), must(strconv.ParseFloat(tag.Get("max"), 64))
	if !(x >= low && x <= high) { // also NaN
		d.fault(key, "", "%v is not between %v and %v", x, low, high)
		return
	}
	*v = x
}

func (d *decoder) size(v *Size, tag reflect.StructTag, raw any, key []string) {
	s, ok := raw.(string)
	if !ok {
		d.wrongType(key, `a string with a unit, such as "8MiB"`, raw)
		return
	}
	n, err := ParseSize(s)
	if err != nil {
		d.fault(key, "", "%v", err)
		return
	}
	if low, high := must(ParseSize(tag.Get("min"))), must(ParseSize(tag.Get("max"))); n < low || n > high {
		d.fault(key, "", "%s is not between %s and %s", s, low, high)
		return
	}
	*v = n
}

func (d *decoder) duration(v *time.Duration, tag reflect.StructTag, raw any, key []string) {
	s, ok := raw.(string)
	if !ok {
		d.wrongType(key, `a string with a unit, such as "30s"`, raw)
		return
	}
	n, err := time.ParseDuration(s)
	if err != nil {
		d.fault(key, "", `%q is not a duration such as "300ms", "30s", "8m" or "24h"`, s)
		return
	}
	low, high := must(time.ParseDuration(tag.Get("min"))), must(time.ParseDuration(tag.Get("max")))
	if n < low || n > high {
		hint := ""
		if n == 0 {
			hint = "remove the key to use its default"
		}
		d.fault(key, hint, "%s is not between %s and %s", s, short(low), short(high))
		return
	}
	*v = n
}

// short formats a duration without trailing zero units: 8m, not 8m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func (d *decoder) texts(v *[]string, tag reflect.StructTag, raw any, key []string) {
	list, ok := raw.([]any)
	if !ok {
		hint := ""
		if s, isText := raw.(string); isText {
			hint = fmt.Sprintf("write [%q]", s)
		}
		d.wrongTypeHint(key, "an array of strings", raw, hint)
		return
	}
	out := make([]string, len(list))
	before := len(d.faults)
	for i, e := range list {
		if e != "" { // an argument may be empty
			d.text(&out[i], tag, e, under(key, strconv.Itoa(i)))
		}
	}
	if tag.Get("required") != "" && len(out) == 0 {
		d.fault(key, "remove the key to use its default", "must not be empty")
	}
	if len(d.faults) == before {
		*v = out
	}
}

func (d *decoder) environment(v *map[string]string, raw any, key []string) {
	m, ok := raw.(map[string]any)
	if !ok {
		d.wrongType(key, "a table of strings", raw)
		return
	}
	out := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		at := under(key, name)
		s, ok := m[name].(string)
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			d.fault(at, "", "is not the name of a variable")
		case !ok: // the value may be a secret: do not show it
			d.fault(at, "put the value in quotes", "expected a string, got %s", tomltext.TypeName(m[name]))
		case strings.ContainsRune(s, 0):
			d.fault(at, "", "must not hold a NUL character")
		default:
			out[name] = s
		}
	}
	*v = out
}

func (d *decoder) hooks(v *[]Hook, raw any, key []string) {
	list, ok := asTables(raw)
	if !ok {
		d.wrongType(key, "an array of tables", raw)
		return
	}
	for i, e := range list {
		h := Hook{Timeout: 30 * time.Second}
		at := under(key, strconv.Itoa(i))
		before := len(d.faults)
		d.table(reflect.ValueOf(&h).Elem(), e, at)
		if len(h.Command) == 0 && len(d.faults) == before {
			d.fault(at, "", "command is missing")
		}
		*v = append(*v, h)
	}
}

// asTables accepts both forms of an array of tables: [[x]] and x = [{}].
func asTables(raw any) ([]any, bool) {
	switch list := raw.(type) {
	case []any:
		return list, true
	case []map[string]any:
		out := make([]any, len(list))
		for i := range list {
			out[i] = list[i]
		}
		return out, true
	default:
		return nil, false
	}
}

// named decodes a table of tables; the names become directories and words on the command line.
func named[T any](d *decoder, into map[string]*T, fresh func(string) *T, raw any, key []string) {
	m, ok := raw.(map[string]any)
	if !ok {
		d.wrongType(key, "a table of tables", raw)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		at := under(key, name)
		if !validName(name) {
			d.fault(at, "use 1 to 32 of a-z, 0-9, _ and -, beginning with a letter or digit",
				"%q is not a usable name", name)
			continue
		}
		into[name] = fresh(name)
		d.table(reflect.ValueOf(into[name]).Elem(), m[name], at)
	}
}

func validName(s string) bool {
	const first = "abcdefghijklmnopqrstuvwxyz0123456789"
	return len(s) > 0 && len(s) <= 32 && strings.Contains(first, s[:1]) && strings.Trim(s, first+"_-") == ""
}

func (d *decoder) wrongType(key []string, want string, raw any) { d.wrongTypeHint(key, want, raw, "") }

func (d *decoder) wrongTypeHint(key []string, want string, raw any, hint string) {
	d.fault(key, hint, "expected %s, got %s", want, tomltext.TypeName(raw))
}

// must is for the constants in struct tags; a test reads all of them.
func must[T any](v T, err error) T {
	if err != nil {
		panic("config: bad tag: " + err.Error())
	}
	return v
}
