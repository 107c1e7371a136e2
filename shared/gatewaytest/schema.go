package gatewaytest

import (
	"encoding/json"
	"slices"
	"strings"
)

// check looks at a value and says what is wrong with it; "" is nothing.
type check func(raw json.RawMessage) string

// object is a closed object: what the gateway's schemas are made of (docs/openclaw.md §6, §7).
type object struct {
	required []string
	fields   map[string]check
	nested   map[string]object
}

// judge says all that is wrong with raw in the words of a release, as far as they were seen: missing properties (the
// newest one names the first), then unexpected properties, then wrong values.
func (o object) judge(raw json.RawMessage, path string, in release) string {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil || m == nil {
		return at(path, "must be object", "")
	}
	var faults []string
	for _, name := range o.required {
		if _, ok := m[name]; !ok {
			faults = append(faults, at(path, "must have required property '"+name+"'", ""))
			if !in.manyMissing {
				break
			}
		}
	}
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if o.fields[name] == nil && o.nested[name].fields == nil {
			faults = append(faults, at(path, "unexpected property '"+name+"'", "root"))
		}
	}
	for _, name := range names {
		if c := o.fields[name]; c != nil {
			if wrong := c(m[name]); wrong != "" {
				faults = append(faults, in.word(at(path+"/"+name, wrong, ""), path+"/"+name))
			}
		} else if n := o.nested[name]; n.fields != nil {
			if wrong := n.judge(m[name], path+"/"+name, in); wrong != "" {
				faults = append(faults, wrong)
			}
		}
	}
	return strings.Join(faults, "; ")
}

// word says a fault in the words of a release.
func (r release) word(fault, path string) string {
	if r.oldSchemas {
		fault = strings.ReplaceAll(fault, "must not have fewer", "must NOT have fewer")
	}
	if r.anyOf {
		fault = strings.ReplaceAll(fault, "must be equal to one of the allowed values",
			"must be equal to constant; at "+path+": must match a schema in anyOf")
	}
	return fault
}

func at(path, wrong, root string) string {
	switch {
	case path != "":
		return "at " + path + ": " + wrong
	case root != "":
		return "at " + root + ": " + wrong
	default:
		return wrong
	}
}

func anything(json.RawMessage) string { return "" }

func aString(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil || string(raw) == "null" {
		return "must be string"
	}
	return ""
}

func someString(raw json.RawMessage) string {
	if wrong := aString(raw); wrong != "" {
		return wrong
	}
	if string(raw) == `""` {
		return "must not have fewer than 1 characters"
	}
	return ""
}

func anInteger(raw json.RawMessage) string {
	var n int64
	if json.Unmarshal(raw, &n) != nil || string(raw) == "null" {
		return "must be integer"
	}
	return ""
}

func aList(raw json.RawMessage) string {
	var list []string
	if json.Unmarshal(raw, &list) != nil || list == nil {
		return "must be array"
	}
	return ""
}

func oneOf(values ...string) check {
	return func(raw json.RawMessage) string {
		var s string
		if json.Unmarshal(raw, &s) != nil || !slices.Contains(values, s) {
			return "must be equal to one of the allowed values"
		}
		return ""
	}
}

func constant(want string) check {
	return func(raw json.RawMessage) string {
		var s string
		if json.Unmarshal(raw, &s) != nil || s != want {
			return "must be equal to constant"
		}
		return ""
	}
}

func requestFrame() object {
	return object{
		required: []string{"type", "id", "method"},
		fields:   map[string]check{"type": constant("req"), "id": someString, "method": someString, "params": anything},
	}
}

func connectParams() object {
	return object{
		required: []string{"minProtocol", "maxProtocol", "client"},
		fields: map[string]check{
			"minProtocol": anInteger, "maxProtocol": anInteger, "caps": aList, "commands": aList,
			"computerUse": anything,
			"workerRuns":  anything, "permissions": anything, "pathEnv": aString, "role": someString, "scopes": aList,
			"modelCatalog": anything,
			"locale":       aString, "userAgent": aString,
		},
		nested: map[string]object{
			"client": {
				required: []string{"id", "version", "platform", "mode"},
				fields: map[string]check{
					"id": oneOf("webchat-ui", "openclaw-control-ui", "openclaw-browser-copilot", "openclaw-tui",
						"webchat", "cli", "gateway-client",
						"openclaw-macos", "openclaw-linux", "openclaw-ios", "openclaw-watchos", "openclaw-android",
						"node-host", "openclaw-worker", "test",
						"fingerprint", "openclaw-probe"),
					"mode":        oneOf("webchat", "cli", "ui", "backend", "node", "worker", "probe", "test"),
					"displayName": someString, "version": someString, "buildId": someString, "platform": someString,
					"deviceFamily":    someString,
					"modelIdentifier": someString, "timeZone": someString, "instanceId": someString,
				},
			},
			"device": {
				required: []string{"id", "publicKey", "signature", "signedAt", "nonce"},
				fields: map[string]check{
					"id": someString, "publicKey": someString, "signature": someString,
					"signedAt": anInteger, "nonce": someString,
				},
			},
			"auth": {
				fields: map[string]check{
					"token": aString, "bootstrapToken": aString, "deviceToken": aString, "password": aString,
					"approvalRuntimeToken":      aString,
					"agentRuntimeIdentityToken": aString,
				},
			},
		},
	}
}
