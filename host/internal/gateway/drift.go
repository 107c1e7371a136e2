package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehost/gatehost/host/internal/config"
)

// Labels of a launch. They stand in files of the launcher for as long as the gateway lives, and tell a later host what it was
// launched with: the port in clear, all else as fingerprints, which nobody without the key can try secrets against (R26).
const (
	labelHost  = "host"
	labelPort  = "gatehost.port"
	driftLabel = "gatehost.drift."
	labelKey   = "gatehost.fingerprint-key" // says which key made them
)

// labelsOf are those that a launch would have by a configuration; nil when it cannot be built: the launch itself will say why.
func (c *core) labelsOf(cfg *config.Gateway) map[string]string {
	b := c.build(cfg)
	if b.err != nil {
		return nil
	}
	return c.labels(b)
}

// labels are what is kept about a launch.
func (c *core) labels(b built) map[string]string {
	cfg, r := b.cfg, b.result
	out := map[string]string{labelHost: c.env.Version, labelPort: strconv.Itoa(cfg.Port)}
	key, remark, err := c.env.Store.FingerprintKey()
	if remark != nil {
		c.log.Warn("drift of gateways that were launched before is not seen", "reason", remark)
	}
	if err != nil {
		c.log.Warn("cannot keep what the gateway is launched with; a later host will not see whether its configuration has changed", "error", err)
		return out
	}
	out[labelKey] = fingerprint(key, "key", nil)
	l := cfg.Launch
	kept := map[string]any{
		"launcher": cfg.Launcher,
		"port":     cfg.Port,
		"command":  r.Process.Argv,
		"cwd":      r.Process.Cwd,
		"token":    b.token,
		// Not the whole environment: that of the host differs from shell to shell.
		"env": []any{l.Env, l.EnvFile, l.ClearEnv, l.PathPrepend, l.Proxy, l.SkipChannels, r.StateDir, r.ConfigPath, l.User},
	}
	if proxies := []any{l.HTTPProxy, l.HTTPSProxy, l.AllProxy, l.NoProxy}; !reflect.DeepEqual(proxies, []any{"", "", "", []string(nil)}) {
		kept["proxy"] = proxies // a label of its own: launches of before have another env
	}
	for name, value := range kept {
		out[driftLabel+name] = fingerprint(key, name, value)
	}
	return out
}

func fingerprint(key []byte, name string, value any) string {
	mac := hmac.New(sha256.New, key)
	data, err := json.Marshal([]any{name, value}) // maps in order of their keys
	if err != nil {
		return ""
	}
	mac.Write(data)
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// driftOf names what was different at a launch. What only one side knows is no difference: another version may have kept it.
func driftOf(then, now map[string]string) []string {
	if then[labelKey] != now[labelKey] {
		return nil // the key was lost: nothing can be compared
	}
	var drift []string
	for _, label := range slices.Sorted(maps.Keys(now)) {
		name, ok := strings.CutPrefix(label, driftLabel)
		if was, known := then[label]; ok && known && was != "" && now[label] != "" && was != now[label] {
			drift = append(drift, name)
		}
	}
	return drift
}

// portOf is the port that a launch was given; 0 when it does not say.
func portOf(labels map[string]string) int {
	n, err := strconv.Atoi(labels[labelPort])
	if err != nil || n < 1 || n > 65535 {
		return 0
	}
	return n
}
