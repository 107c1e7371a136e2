package gatewayconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/internal/json5"
	"github.com/gatehost/gatehost/shared/fault"
)

// includeKey names files whose content takes the place of the object that has the key; what is beside the key has
// priority over them. OpenClaw 2026.9.6 has these rules and limits.
const (
	includeKey   = "$include"
	maxInclude   = 2 << 20 // of one file, in bytes
	maxDepth     = 10
	maxIncludes  = 256
	maxPathBytes = 4096
)

// includer reads what a configuration includes.
type includer struct {
	roots []string // directories from which it may include
	files []string // in the order in which they are read
}

// whole returns a configuration with everything that it includes, and the included files. roots are the directories
// besides that of the file from which it may include. The value shares nothing with config.
func (f file) whole(config map[string]any, roots []string) (map[string]any, []string, error) {
	i := includer{roots: append([]string{filepath.Dir(f.given)}, roots...)}
	got, err := i.process(config, f.given, []string{filepath.Clean(f.given)})
	if err != nil {
		return nil, i.files, fault.Wrap(fault.FailedPrecondition, "cannot read what "+f.given+" includes", err).
			WithHint("correct the " + includeKey + " in " + f.given)
	}
	out, ok := got.(map[string]any)
	if !ok {
		return nil, i.files, fault.New(fault.FailedPrecondition, "cannot read what "+f.given+" includes: it is not an object")
	}
	return out, i.files, nil
}

// includes reports whether a configuration includes files.
func includes(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v[includeKey]; ok {
			return true
		}
		return slices.ContainsFunc(slices.Collect(maps.Values(v)), includes)
	case []any:
		return slices.ContainsFunc(v, includes)
	}
	return false
}

// included returns the parts of a configuration that name files, by their paths.
func included(v any) map[string]any {
	out := map[string]any{}
	var walk func(at json5.Path, v any)
	walk = func(at json5.Path, v any) {
		m, ok := v.(map[string]any)
		if !ok {
			return
		}
		for k, x := range m {
			if k == includeKey {
				out[at.String()] = x
				continue
			}
			walk(append(slices.Clone(at), k), x)
		}
	}
	walk(nil, v)
	return out
}

func (i *includer) process(v any, base string, chain []string) (any, error) {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for n, x := range v {
			got, err := i.process(x, base, chain)
			if err != nil {
				return nil, err
			}
			out[n] = got
		}
		return out, nil
	case map[string]any:
		rest := map[string]any{}
		for k, x := range v {
			if k == includeKey {
				continue
			}
			got, err := i.process(x, base, chain)
			if err != nil {
				return nil, err
			}
			rest[k] = got
		}
		names, ok := v[includeKey]
		if !ok {
			return rest, nil
		}
		return i.object(names, rest, base, chain)
	}
	return v, nil
}

// object returns what an object with the key means; rest is what is beside the key.
func (i *includer) object(names any, rest map[string]any, base string, chain []string) (any, error) {
	list, many := names.([]any)
	if !many {
		list = []any{names}
	}
	var value any
	if many {
		value = map[string]any{}
	}
	for _, name := range list {
		text, ok := name.(string)
		if !ok {
			return nil, fmt.Errorf("%s is not a path or a list of paths", includeKey)
		}
		got, err := i.load(text, base, chain)
		if err != nil {
			return nil, err
		}
		if value = mergeIncluded(value, got); !many {
			value = got
		}
	}
	if len(rest) == 0 {
		return value, nil
	}
	if _, ok := value.(map[string]any); !ok {
		return nil, fmt.Errorf("there are keys beside %s, and what it includes is not an object", includeKey)
	}
	return mergeIncluded(value, rest), nil
}

// mergeIncluded merges objects; lists are joined, and of other values the second stays.
func mergeIncluded(a, b any) any {
	if x, ok := a.(map[string]any); ok {
		if y, ok := b.(map[string]any); ok {
			out := maps.Clone(x)
			for k, v := range y {
				if have, ok := x[k]; ok {
					v = mergeIncluded(have, v)
				}
				out[k] = v
			}
			return out
		}
	}
	if x, ok := a.([]any); ok {
		if y, ok := b.([]any); ok {
			return slices.Concat(x, y)
		}
	}
	return b
}

func (i *includer) load(name, base string, chain []string) (any, error) {
	if strings.ContainsRune(name, 0) || len(name) >= maxPathBytes {
		return nil, errors.New("a path is too long or has a zero byte")
	}
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(base), name)
	}
	path = filepath.Clean(path)
	switch {
	case !i.may(path):
		return nil, fmt.Errorf("%s is outside of %s", path, strings.Join(i.roots, ", "))
	case slices.Contains(chain, path):
		return nil, fmt.Errorf("%s includes itself", path)
	case len(chain) > maxDepth || len(i.files) >= maxIncludes:
		return nil, fmt.Errorf("there are too many includes at %s", path)
	}
	if !slices.Contains(i.files, path) {
		i.files = append(i.files, path)
	}
	f, err := readFile(path)
	switch {
	case err != nil:
		return nil, err
	case !f.exists:
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	case len(f.data) > maxInclude:
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxInclude)
	}
	doc, err := json5.Parse(string(f.data))
	if err != nil {
		return nil, fmt.Errorf("cannot understand %s: %w", path, err)
	}
	return i.process(doc.Value(), path, append(slices.Clone(chain), path))
}

// may reports whether a file is in one of the roots, by its name and by where its links lead.
func (i *includer) may(path string) bool {
	inside := func(path string, real bool) bool {
		return slices.ContainsFunc(i.roots, func(root string) bool {
			if real {
				if got, err := filepath.EvalSymlinks(root); err == nil {
					root = got
				}
			}
			rel, err := filepath.Rel(root, path)
			return err == nil && filepath.IsLocal(rel)
		})
	}
	if !inside(path, false) {
		return false
	}
	real, err := filepath.EvalSymlinks(path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && inside(real, true)
}

// Includes returns the files that the configuration at a path includes, as far as they can be read.
func Includes(path string, roots []string) []string {
	f, err := readFile(path)
	if err != nil || !f.exists {
		return nil
	}
	_, config, err := f.parse()
	if err != nil || !includes(config) {
		return nil
	}
	_, files, _ := f.whole(config, roots) // what cannot be included is the gateway's to report
	return files
}

// keeps returns an error unless the text that an edit would leave means what the edit wants, with everything that is
// included: a value in an included file can be changed from outside of it, but not removed, and a list only grows.
func (f file) keeps(before, after, wanted map[string]any, roots []string) error {
	if !includes(before) || !equal(included(before), included(after)) {
		return nil
	}
	got, files, err := f.whole(after, roots)
	if err != nil {
		return err
	}
	if equal(any(got), any(wanted)) {
		return nil
	}
	what := "a value"
	if d := diff(got, wanted); len(d) > 0 {
		what = d[0].Path.String()
	}
	return fault.New(fault.FailedPrecondition, fmt.Sprintf("cannot change %s: it comes from a file that %s includes", what,
		f.given)).WithHint("change it in " + strings.Join(files, " or ") + "; nothing was changed")
}
