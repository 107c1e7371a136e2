package profile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Remark says that something which the operator has set does not reach the gateway as it was set. It has names and no
// values.
type Remark struct {
	Key     string // below gateways.NAME.launch; "": it is in the environment of gatehost
	Message string
	Hint    string
}

// String is the remark in one line.
func (r Remark) String() string {
	if r.Hint == "" {
		return r.Message
	}
	return r.Message + " (" + r.Hint + ")"
}

// told are inherited variables whose removal is told: people set them on purpose. What service managers set is not.
var told = []string{
	"NODE_OPTIONS", "OPENCLAW_GATEWAY_TOKEN", "OPENCLAW_GATEWAY_PASSWORD", "OPENCLAW_GATEWAY_PORT",
}

// handles are variables by which a program talks to what started it: pm2, another Node.js, systemd. In a gateway they
// would name a descriptor or a process that it does not have: Node.js ends with NODE_CHANNEL_FD, and waits for ever
// with NODE_UNIQUE_ID.
var handles = []string{
	"NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE", "NODE_UNIQUE_ID", "NODE_APP_INSTANCE",
	"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID",
	"FDSTORE", "MAINPID", "MANAGERPID", "MANAGERPIDFDID",
}

// isHandle reports whether a variable belongs to the service manager of gatehost, wherever it comes from.
func isHandle(name string) bool {
	return slices.Contains(handles, name) || strings.HasPrefix(name, "pm_") || strings.HasPrefix(name, "PM2_")
}

// unused returns what of the operator's variables the gateway does not get, or gets with another value, in the order of
// their names; env is what it gets.
func (l Launch) unused(file envFile, env map[string]string) []Remark {
	var out []Remark
	for _, remark := range file.remarks {
		out = append(out, Remark{Key: "env_file", Message: remark})
	}
	proxies := ProxyEnv(l.Launch)
	for _, k := range slices.Sorted(maps.Keys(file.values)) {
		given, isSet := l.Env[k]
		by := decidedBy(k)
		switch {
		case env[k] == file.values[k]:
			continue
		case isHandle(k):
		case isSet && given == env[k]:
			by = "launch.env"
		case proxies[k] != "":
			by = "the proxies of launch"
		}
		out = append(out, remarkOf("env_file", fmt.Sprintf("%s in line %d", k, file.lines[k]), k, by, env))
	}
	for _, k := range slices.Sorted(maps.Keys(l.Env)) {
		by := decidedBy(k)
		if proxies[k] != "" && !isHandle(k) {
			by = "the proxies of launch"
		}
		if env[k] != l.Env[k] {
			out = append(out, remarkOf("env", k, k, by, env))
		}
	}
	if l.ClearEnv {
		return out
	}
	for _, kv := range slices.Sorted(slices.Values(l.Inherited)) {
		k, v, _ := strings.Cut(kv, "=")
		if _, inFile := file.values[k]; inFile || l.Env[k] != "" || slices.Contains(l.Foreign, k) {
			continue // the operator has said what the gateway gets
		}
		if v != "" && env[k] != v && slices.Contains(told, k) {
			out = append(out, remarkOf("", k+" in the environment of gatehost", k, decidedBy(k), env))
		}
	}
	return out
}

func remarkOf(key, what, name, by string, env map[string]string) Remark {
	r := Remark{Key: key, Message: what + " is not used: ", Hint: hintFor(name)}
	switch _, isSet := env[name]; {
	case isHandle(name):
		r.Message += "it belongs to what started gatehost, and would harm the gateway"
		r.Hint = "remove it"
	case isSet:
		r.Message += "the gateway gets the value of " + by
	default:
		r.Message += "the gateway does not inherit it"
	}
	return r
}

// decidedBy returns in words what sets a variable of the gateway.
func decidedBy(name string) string {
	switch name {
	case "OPENCLAW_GATEWAY_TOKEN":
		return "the gateway's token"
	case "OPENCLAW_GATEWAY_PORT":
		return "the gateway's port"
	case "OPENCLAW_STATE_DIR":
		return "launch.state_dir"
	case "OPENCLAW_CONFIG_PATH":
		return "launch.config_path"
	case "OPENCLAW_SKIP_CHANNELS":
		return "launch.skip_channels"
	default:
		return "gatehost"
	}
}

// hintFor says how the operator's own value of a variable gets to the gateway.
func hintFor(name string) string {
	switch name {
	case "OPENCLAW_GATEWAY_TOKEN":
		return `to use that token, set token = {env = "OPENCLAW_GATEWAY_TOKEN"} of the gateway, or {file = "PATH"}`
	case "OPENCLAW_GATEWAY_PORT":
		return "set port of the gateway"
	case "OPENCLAW_STATE_DIR":
		return "set launch.state_dir"
	case "OPENCLAW_CONFIG_PATH":
		return "set launch.config_path"
	case "NODE_OPTIONS", "OPENCLAW_GATEWAY_PASSWORD":
		return "set it in launch.env or launch.env_file"
	default:
		return ""
	}
}
