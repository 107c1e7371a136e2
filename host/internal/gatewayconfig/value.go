package gatewayconfig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehost/gatehost/internal/json5"
	"github.com/gatehost/gatehost/internal/redact"
)

// Placeholder replaces a secret in the gateway's config.get; config.set puts the secret back (T139).
const Placeholder = "__OPENCLAW_REDACTED__"

// Change is one value that differs. Before and After are masked, and nil when there is no value.
type Change struct {
	Path          json5.Path
	Before, After any
	Added         bool // there was none
	Removed       bool // there is none any more
}

// delta is a change with the value that is wanted, which may be a secret.
type delta struct {
	Change
	wanted any
}

// shown is the part that may leave the package.
func shown(deltas []delta) []Change {
	var out []Change
	for _, d := range deltas {
		out = append(out, d.Change)
	}
	return out
}

// normalize returns a deep copy in which every number is a json.Number. What JSON does not have is an error, except
// the numbers of JSON5.
func normalize(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, string, json.Number:
		return v, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			n, err := normalize(x)
			if err != nil {
				return nil, err
			}
			out[k] = n
		}
		return out, nil
	case []any:
		out := make([]any, 0, len(v))
		for _, x := range v {
			n, err := normalize(x)
			if err != nil {
				return nil, err
			}
			out = append(out, n)
		}
		return out, nil
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return v, nil
		}
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("a value is not JSON: %w", err)
	}
	return decode(data)
}

func decode(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	return v, err
}

// equal compares values; 1.0 equals 1.
func equal(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		return ok && maps.EqualFunc(x, y, equal)
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, equal)
	case json.Number:
		y, ok := b.(json.Number)
		return ok && sameNumber(x.String(), y.String())
	case float64:
		y, ok := b.(float64)
		return ok && (x == y || math.IsNaN(x) && math.IsNaN(y))
	default:
		return a == b
	}
}

func sameNumber(a, b string) bool {
	if a == b || !strings.ContainsAny(a+b, ".eE") {
		return a == b // whole numbers may be larger than a float64 can distinguish
	}
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return errX == nil && errY == nil && x == y
}

// diff lists what differs, by path. It descends into objects, not into lists.
func diff(before, after map[string]any) []delta {
	var out []delta
	walk(nil, before, after, &out)
	return out
}

func walk(at json5.Path, before, after map[string]any, out *[]delta) {
	keys := maps.Clone(before)
	maps.Copy(keys, after)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		a, was := before[k]
		b, is := after[k]
		if was && is && equal(a, b) {
			continue
		}
		path := append(slices.Clone(at), k)
		objectA, okA := a.(map[string]any)
		objectB, okB := b.(map[string]any)
		if okA && okB {
			walk(path, objectA, objectB, out)
			continue
		}
		change := Change{Path: path, Before: Mask(path, a), After: Mask(path, b), Added: !was, Removed: !is}
		*out = append(*out, delta{change, b})
	}
}

// Lookup returns the value at a path.
func Lookup(v any, path json5.Path) (any, bool) {
	for _, part := range path {
		switch c := v.(type) {
		case map[string]any:
			x, ok := c[part]
			if !ok {
				return nil, false
			}
			v = x
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(c) {
				return nil, false
			}
			v = c[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// put sets the value at a path, or removes it; it creates missing objects.
func put(config map[string]any, path json5.Path, value any, remove bool) error {
	if len(path) == 0 {
		return fmt.Errorf("cannot replace the whole configuration: name a path")
	}
	var at any = config
	for i, part := range path[:len(path)-1] {
		next, ok := Lookup(at, json5.Path{part})
		if !ok {
			c, isObject := at.(map[string]any)
			switch {
			case remove:
				return nil
			case !isObject:
				return fmt.Errorf("cannot set %s: %s is not an object, or has no such position", path, path[:i])
			}
			next = map[string]any{}
			c[part] = next
		}
		at = next
	}
	last := path[len(path)-1]
	switch c := at.(type) {
	case map[string]any:
		if remove {
			delete(c, last)
		} else {
			c[last] = value
		}
		return nil
	case []any:
		i, err := strconv.Atoi(last)
		if err != nil || i < 0 || i > len(c) || remove && i == len(c) {
			return fmt.Errorf("cannot change %s: the list has %d elements", path, len(c))
		}
		grown := slices.Clone(c)
		switch {
		case remove:
			grown = slices.Delete(grown, i, i+1)
		case i == len(c):
			grown = append(grown, value)
		default:
			grown[i] = value
		}
		return put(config, path[:len(path)-1], grown, false)
	default:
		if remove {
			return nil
		}
		return fmt.Errorf("cannot set %s: %s is neither an object nor a list", path, path[:len(path)-1])
	}
}

// login is the part of an address that holds a password.
var login = regexp.MustCompile(`(://)[^/?#@\s]+@`)

// Mask hides secrets in the value at a path: values under a secret's name, at any depth, and logins in addresses.
func Mask(path json5.Path, v any) any {
	secret, name := false, ""
	for _, part := range path {
		name = part
		secret = secret || redact.Name(part)
	}
	return mask(v, name, secret)
}

func mask(v any, name string, secret bool) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = mask(x, k, secret || redact.Name(k))
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, x := range v {
			out = append(out, mask(x, name, secret))
		}
		return out
	case string:
		if secret && !redact.Harmless(name, strconv.Quote(v)) && !reference.MatchString(v) {
			return Placeholder
		}
		return login.ReplaceAllString(v, "${1}"+Placeholder+"@")
	case json.Number:
		if secret && !redact.Harmless(name, v.String()) {
			return Placeholder
		}
	}
	return v
}

// reference names a variable: ${NAME}.
var reference = regexp.MustCompile(`^\$\{[A-Za-z_][A-Za-z0-9_]*\}$`)

// like reports whether a value in the file is the wanted one; a placeholder stands for any secret.
func like(wanted, have any) bool {
	switch w := wanted.(type) {
	case string:
		s, ok := have.(string)
		return ok && (s == w || w == Placeholder) || !ok && w == Placeholder && have != nil
	case map[string]any:
		h, ok := have.(map[string]any)
		return ok && maps.EqualFunc(w, h, like)
	case []any:
		h, ok := have.([]any)
		return ok && slices.EqualFunc(w, h, like)
	default:
		return equal(wanted, have)
	}
}

// reveal replaces placeholders by the secrets at the same place in before, as the gateway does.
func reveal(after, before any, at json5.Path) (any, error) {
	switch a := after.(type) {
	case string:
		if !strings.Contains(a, Placeholder) {
			return a, nil
		}
		if s, ok := before.(string); ok && (a == Placeholder || Mask(at, s) == a) {
			return s, nil
		}
		if a == Placeholder && before != nil {
			return before, nil
		}
		return nil, fmt.Errorf("cannot set %s: %s only stands for a secret that is there already", at, Placeholder)
	case map[string]any:
		b, _ := before.(map[string]any)
		for k, x := range a {
			got, err := reveal(x, b[k], append(slices.Clone(at), k))
			if err != nil {
				return nil, err
			}
			a[k] = got
		}
	case []any:
		b, _ := before.([]any)
		for i, x := range a {
			var old any
			if i < len(b) {
				old = b[i]
			}
			got, err := reveal(x, old, append(slices.Clone(at), strconv.Itoa(i)))
			if err != nil {
				return nil, err
			}
			a[i] = got
		}
	}
	return after, nil
}
