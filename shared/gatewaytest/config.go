package gatewaytest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/internal/json5"
)

// issue is one thing wrong with a configuration.
type issue struct {
	path    string // "" is the root
	message string
	got     string // what stands there, where the message depends on it
	line    int
	allowed []string
	unknown []string // keys that do not belong there
}

// key describes a place in the configuration. The emulator knows a small part of OpenClaw's schema.
type key struct {
	kind    string // "object", "number", "string", "boolean", "any"
	values  []string
	members map[string]key
}

func configSchema() key {
	object := func(m map[string]key) key { return key{kind: "object", members: m} }
	text, number, boolean, free := key{kind: "string"}, key{kind: "number"}, key{kind: "boolean"}, key{kind: "any"}
	one := func(v ...string) key { return key{kind: "string", values: v} }
	root := map[string]key{
		"gateway": object(map[string]key{
			"mode": one("local", "remote"), "port": number, "bind": one("auto", "lan", "loopback", "custom", "tailnet"),
			"customBindHost": text,
			"auth": object(map[string]key{
				"mode": one("none", "token", "password", "trusted-proxy"), "token": free,
				"password": free, "rateLimit": free, "trustedProxy": free,
			}),
			"controlUi": object(map[string]key{
				"enabled": boolean, "basePath": text, "allowedOrigins": free,
				"github": free,
			}),
			"reload": free, "tailscale": free, "remote": free, "trustedProxies": free, "http": free, "tls": free,
			"nodes": free, "tools": free,
		}),
		"logging": object(map[string]key{
			"level": one("silent", "fatal", "error", "warn", "info", "debug", "trace"), "file": text,
			"consoleLevel": text, "consoleStyle": text,
			"redactSensitive": text, "redactPatterns": free, "maxFileBytes": number,
		}),
		"commands": object(map[string]key{
			"restart": boolean, "native": free, "nativeSkills": free,
			"ownerAllowFrom": free,
		}),
	}
	for _, name := range []string{
		"agents", "meta", "wizard", "plugins", "skills", "messages", "channels", "session", "models", "env", "tools",
		"hooks", "cron", "browser", "bindings",
		"auth", "ui", "update", "web", "nodeHost", "talk", "audio", "diagnostics", "discovery", "approvals", "secrets",
		"desktop",
	} {
		root[name] = free
	}
	return object(root)
}

// inspect says all that is wrong, outermost first.
func (k key) inspect(v any, path string, lines map[string]int) []issue {
	here := issue{path: path, line: lines[path]}
	switch {
	case k.kind == "any":
		return nil
	case k.kind != kindOf(v):
		here.message = "Invalid input: expected " + k.kind + ", received " + kindOf(v)
		return []issue{here}
	case k.values != nil:
		text, _ := v.(string)
		if slices.Contains(k.values, text) {
			return nil
		}
		here.message, here.got, here.allowed = `Invalid input (allowed: "`+strings.Join(k.values, `", "`)+`")`, text,
			k.values
		return []issue{here}
	case k.kind != "object":
		return nil
	}
	object := asObject(v)
	var out []issue
	for _, name := range sortedKeys(object) {
		if member, ok := k.members[name]; ok {
			out = append(out, member.inspect(object[name], join(path, name), lines)...)
		} else {
			here.unknown = append(here.unknown, name)
		}
	}
	if len(here.unknown) > 0 {
		here.message = "Unrecognized key"
		if len(here.unknown) > 1 {
			here.message += "s"
		}
		here.message += `: "` + strings.Join(here.unknown, `", "`) + `"`
		out = append(out, here)
	}
	return out
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case float64:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	default:
		return "object"
	}
}

func sortedKeys(m map[string]any) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// snapshot is a configuration as it was read.
type snapshot struct {
	exists bool
	raw    string
	value  map[string]any
	issues []issue
	syntax error // it is not JSON5
}

func readConfig(path string) (snapshot, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the gateway's own configuration
	if errors.Is(err, fs.ErrNotExist) {
		return snapshot{value: map[string]any{}}, nil
	}
	if err != nil {
		return snapshot{}, fmt.Errorf("cannot read configuration: %w", err)
	}
	return parseConfig(string(data)), nil
}

// parse5 reads what openclaw.json may be. It returns the value and the line of each key by its dotted path, since the
// gateway's messages name it.
func parse5(text string) (value any, lines map[string]int, err error) {
	doc, err := json5.Parse(text)
	if wrong, ok := errors.AsType[*json5.SyntaxError](err); ok {
		what := fmt.Sprintf("invalid character '%c'", wrong.Found)
		if wrong.Found == 0 {
			what = "invalid end of input"
		}
		return nil, nil, fmt.Errorf("SyntaxError: JSON5: %s at %d:%d", what, wrong.Line, wrong.Column)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("SyntaxError: JSON5: %w", err)
	}
	lines = map[string]int{}
	for path, line := range doc.Keys() {
		lines[strings.Join(path, ".")] = line
	}
	return floats(doc.Value()), lines, nil
}

// floats makes the numbers of a value what JavaScript has.
func floats(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, _ := v.Float64() // out of range it is an infinity, as in JavaScript
		return f
	case map[string]any:
		for k, x := range v {
			v[k] = floats(x)
		}
	case []any:
		for i, x := range v {
			v[i] = floats(x)
		}
	}
	return v
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func parseConfig(raw string) snapshot {
	s := snapshot{exists: true, raw: raw, value: map[string]any{}}
	v, lines, err := parse5(raw)
	if err != nil {
		s.syntax = err
		s.issues = []issue{{message: "JSON5 parse failed: " + err.Error()}}
		return s
	}
	s.issues = configSchema().inspect(v, "", lines)
	s.value = asObject(v)
	return s
}

func (s snapshot) valid() bool { return len(s.issues) == 0 }

// at is the value at a dotted path.
func (s snapshot) at(path string) any {
	var v any = s.value
	for part := range strings.SplitSeq(path, ".") {
		v = asObject(v)[part]
	}
	return v
}

func (s snapshot) hash() string {
	sum := sha256.Sum256([]byte(s.raw))
	return "hmac-sha256:v1:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// lines are the issues as a start reports them.
func (s snapshot) lines(file string) []string {
	var out []string
	for _, i := range s.issues {
		text := i.path
		if text == "" {
			text = "<root>"
		}
		text += ": " + i.message
		if i.got != "" {
			text += fmt.Sprintf(", got: %q", i.got)
		}
		if i.line > 0 {
			text = fmt.Sprintf("%s:%d — %s", filepath.Base(file), i.line, text)
		}
		out = append(out, text)
	}
	return out
}

// render is a configuration as the gateway writes it.
func render(v map[string]any) string {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // it came from JSON
	}
	return string(data) + "\n"
}

// replaceFile writes atomically, as the gateway does.
func replaceFile(path, text string) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".openclaw.*")
	if err != nil {
		return err
	}
	_, err = tmp.WriteString(text)
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}

// merge applies an RFC 7396 patch.
func merge(into, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	out := map[string]any{}
	for k, v := range asObject(into) {
		out[k] = v
	}
	for k, v := range p {
		if v == nil {
			delete(out, k)
			continue
		}
		out[k] = merge(out[k], v)
	}
	return out
}

// changed lists the paths at which two configurations differ.
func changed(a, b any, path string) []string {
	ma, okA := a.(map[string]any)
	mb, okB := b.(map[string]any)
	inside := strings.HasPrefix(path, "gateway") // there a missing object is looked into
	if inside {
		ma, mb = asObject(a), asObject(b)
		okA, okB = okA || a == nil && okB, okB || b == nil && okA
	}
	if !okA || !okB {
		if equal(a, b) {
			return nil
		}
		return []string{path}
	}
	var out []string
	all := map[string]any{}
	for k := range ma {
		all[k] = nil
	}
	for k := range mb {
		all[k] = nil
	}
	for _, k := range sortedKeys(all) {
		out = append(out, changed(ma[k], mb[k], join(path, k))...)
	}
	return out
}

func equal(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// restartPath names the first of changed paths that a running gateway can't take; "" when there is none.
func restartPath(paths []string) string {
	for _, p := range paths {
		for _, class := range []string{
			"gateway.port", "gateway.bind", "gateway.customBindHost", "gateway.auth",
			"gateway.tls", "gateway.tailscale",
		} {
			if p == class || strings.HasPrefix(p, class+".") {
				return p
			}
		}
	}
	return ""
}
