package gatewaytest

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// redacted stands for a secret in what the gateway shows; given back at the same place, it means the secret that is
// there.
const redacted = "__OPENCLAW_REDACTED__"

var (
	sensitive = regexp.MustCompile(`(?i)(?:token$|password|secret|api.?key|encrypt.?key|private.?key)`)
	tame      = regexp.MustCompile(`(?i)(?:tokens|tokencount|tokenlimit|tokenbudget|passwordfile)$`)
	variable  = regexp.MustCompile(`^\$\{[^}]*\}$`)
)

// redact hides the secrets of a configuration, and notes them.
func redact(v any, path string, found *[]string) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = redact(x, join(path, k), found)
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, x := range v {
			out = append(out, redact(x, path, found))
		}
		return out
	case string:
		if v != "" && sensitive.MatchString(path) && !tame.MatchString(path) && !variable.MatchString(v) {
			*found = append(*found, v)
			return redacted
		}
	}
	return v
}

// hidden is a configuration as the gateway shows it.
func hidden(v any) any {
	var found []string
	return redact(v, "", &found)
}

// hiddenRaw hides the same secrets in the text.
func (s snapshot) hiddenRaw() string {
	var found []string
	redact(s.value, "", &found)
	slices.SortFunc(found, func(a, b string) int { return len(b) - len(a) })
	raw := s.raw
	for _, secret := range found {
		raw = strings.ReplaceAll(raw, secret, redacted)
	}
	return raw
}

// restored puts secrets back where they are hidden.
func restored(v, from any, path string) (any, *Error) {
	switch v := v.(type) {
	case string:
		if v != redacted {
			return v, nil
		}
		if from == nil {
			return nil, invalid(`Sentinel value "` + redacted + `" in key ` + path + ` is not valid as real data`)
		}
		return from, nil
	case map[string]any:
		old := asObject(from)
		for k, x := range v {
			got, err := restored(x, old[k], join(path, k))
			if err != nil {
				return nil, err
			}
			v[k] = got
		}
	case []any:
		old, _ := from.([]any)
		for i, x := range v {
			var was any
			if i < len(old) {
				was = old[i]
			}
			got, err := restored(x, was, path+"[]")
			if err != nil {
				return nil, err
			}
			v[i] = got
		}
	}
	return v, nil
}

// source is a configuration with the agent that is always there.
func (s snapshot) source() map[string]any {
	return asObject(merge(s.value,
		map[string]any{"agents": map[string]any{"entries": map[string]any{"main": map[string]any{}}}}))
}

// running is what a gateway runs by: defaults, then the source.
func (s snapshot) running() map[string]any {
	return asObject(merge(map[string]any{
		"agents": map[string]any{"defaults": map[string]any{
			"maxConcurrent": 8.0, "subagents": map[string]any{"maxConcurrent": 8.0, "archiveAfterMinutes": 60.0},
			"compaction": map[string]any{"mode": "safeguard"},
		}},
		"commands": map[string]any{"native": "auto", "nativeSkills": "auto", "restart": true},
		"messages": map[string]any{"ackReactionScope": "group-mentions"},
	}, s.source()))
}

// project applies to the source what differs between what the gateway runs by and what it is given (measured:
// config.set takes the shape of config.get's config, and the defaults in it are not written).
func project(source, running, given any) any {
	g, isObject := given.(map[string]any)
	r, was := running.(map[string]any)
	if !isObject || !was {
		return given
	}
	out := maps.Clone(asObject(source))
	if out == nil {
		out = map[string]any{}
	}
	for k := range r {
		if _, ok := g[k]; !ok {
			delete(out, k)
		}
	}
	for k, v := range g {
		if old, ok := r[k]; !ok || !equal(old, v) {
			out[k] = project(out[k], old, v)
		}
	}
	return out
}

// configLookup is config.schema.lookup, as far as the emulator knows the schema: its kinds are those of restartPath.
func (s *Server) configLookup(_ *conn, call Call) (any, error) {
	var p struct {
		Path string `json:"path"`
	}
	if json.Unmarshal(call.Params, &p) != nil || p.Path == "" {
		return nil, invalid("invalid config.schema.lookup params: must have required property 'path'")
	}
	at := configSchema()
	for part := range strings.SplitSeq(p.Path, ".") {
		next, ok := at.members[part]
		switch {
		case ok:
			at = next
		case at.kind == "any":
		default:
			return nil, invalid("config schema path not found")
		}
	}
	kind := "hot"
	switch {
	case restartPath([]string{p.Path}) != "":
		kind = "restart"
	case p.Path == "logging" || strings.HasPrefix(p.Path, "logging.") || p.Path == "messages":
		kind = "none"
	}
	out := map[string]any{"path": p.Path, "schema": map[string]any{}, "reloadKind": kind, "children": []any{}}
	if s.release.noReloadKind {
		delete(out, "reloadKind")
	}
	return out, nil
}
