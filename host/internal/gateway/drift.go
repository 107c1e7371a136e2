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

// Labels of a launch. The launcher keeps them in files as long as the gateway lives. They tell a later host what the
// gateway was launched with: the port in clear, all else as fingerprints, against which no secret can be tested without
// the key (R26).
const (
	labelHost  = "host"
	labelPort  = "gatehost.port"
	driftLabel = "gatehost.drift."
	labelKey   = "gatehost.fingerprint-key" // says which key made the fingerprints
)

// labelsOf returns the labels that a launch of a configuration would have; nil when it cannot be built: the launch
// itself reports why.
func (c *core) labelsOf(cfg *config.Gateway) map[string]string {
	b := c.build(cfg)
	if b.err != nil {
		return nil
	}
	return c.labels(b)
}

// labels returns what is kept about a launch.
func (c *core) labels(b built) map[string]string {
	cfg, r := b.cfg, b.result
	out := map[string]string{labelHost: c.env.Version, labelPort: strconv.Itoa(cfg.Port)}
	key, remark, err := c.env.Store.FingerprintKey()
	if remark != nil {
		c.log.Warn("drift of gateways that earlier hosts launched cannot be detected", "reason", remark)
	}
	if err != nil {
		c.log.Warn("cannot store what the gateway is launched with; a later host cannot detect drift", "error", err)
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
	proxies := []any{l.HTTPProxy, l.HTTPSProxy, l.AllProxy, l.NoProxy}
	if !reflect.DeepEqual(proxies, []any{"", "", "", []string(nil)}) {
		kept["proxy"] = proxies // a label of its own: earlier launches have another env
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

// driftOf names what was different at a launch. A label that only one side has is no difference: another version may
// have made it.
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

// portOf returns the port with which a process was launched; 0 when its labels do not say.
func portOf(labels map[string]string) int {
	n, err := strconv.Atoi(labels[labelPort])
	if err != nil || n < 1 || n > 65535 {
		return 0
	}
	return n
}
