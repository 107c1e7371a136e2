package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehost/gatehost/host/internal/tomltext"
	"github.com/gatehost/gatehost/shared/plugin"
)

// check finds what single keys cannot show: bad references, duplicates, contradictions.
func (d *decoder) check(c *Config) {
	for _, name := range slices.Sorted(maps.Keys(c.Plugins)) {
		d.checkPlugin(c.Plugins[name])
	}
	for _, name := range c.GatewayNames() {
		g := c.Gateways[name]
		d.checkReferences(c, g)
		d.checkToken(g)
		d.checkTLS(g)
		d.checkLaunch(g)
		d.checkTimes(g)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Plugins)) {
		if p := c.Plugins[name]; p.Sandbox.Mode == SandboxOn && c.StartsProcesses(name) {
			d.fault([]string{"plugins", name, "sandbox", "mode"}, `write "off", or leave it out`,
				"a launcher or unloader cannot run in a sandbox: everything it starts would run in it too")
		}
	}
	d.checkPorts(c)
}

// warnOfTransports names launchers and unloaders that the host will not use. It is no fault: it concerns the gateways
// that use them, and the host runs the others.
func (c *Config) warnOfTransports(d *decoder) {
	for _, name := range slices.Sorted(maps.Keys(c.Plugins)) {
		if c.Plugins[name].Transport == "socket" && c.StartsProcesses(name) {
			c.warnings = append(c.warnings, d.where.Fault(d.file, []string{"plugins", name, "transport"},
				`a gateway uses it as launcher or unloader, and the host calls these by "auto_mtls" only`,
				`write "auto_mtls" if it speaks mutual TLS, as the Go SDK does; else name another plugin there`))
		}
	}
}

func (d *decoder) checkPlugin(p *Plugin) {
	key := []string{"plugins", p.Name}
	if p.Path == "" && !d.faults.At(under(key, "path")) {
		d.fault(key, `name a file in plugin_dir, such as "launcher-utility"`, "path is missing")
	}
	if raw, err := hex.DecodeString(p.SHA256); p.SHA256 != "" && (err != nil || len(raw) != 32) {
		d.fault(under(key, "sha256"), "run `sha256sum` on the plugin", "is not 64 hexadecimal digits")
	}
	d.checkGrants(p)
	d.checkPaths(append(slices.Clip(key), "sandbox", "read"), p.Sandbox.Read)
	d.checkPaths(append(slices.Clip(key), "sandbox", "write"), p.Sandbox.Write)
	d.checkSecrets(under(key, "args"), p.Args, "pass it in a file or an environment variable instead")
}

// checkPaths reports what is no path.
func (d *decoder) checkPaths(key, paths []string) {
	for i, path := range paths {
		if path == "" {
			d.fault(under(key, strconv.Itoa(i)), "write the whole path", "%q is not a path", path)
		}
	}
}

// checkGrants reports what is no grant, and words of a command that would show a secret to everyone.
func (d *decoder) checkGrants(p *Plugin) {
	for i, g := range p.Grant {
		key := []string{"plugins", p.Name, "grant", strconv.Itoa(i)}
		err := plugin.CheckGrant(g)
		switch {
		case errors.Is(err, plugin.ErrUnknownGrant):
			d.fault(key, tomltext.DidYouMean(g, plugin.Grants()), "%q is none of %s, %sWORDS", g,
				strings.Join(plugin.Grants(), ", "), plugin.GrantCommand)
		case err != nil:
			d.fault(key, `write "command:", then the words behind the gateway's command, one space between them`, "%v", err)
		case slices.Contains(p.Grant[:i], g):
			d.fault(key, "", "%q is listed twice", g)
		}
		words, _ := plugin.CommandOfGrant(g)
		d.checkSecrets(key, words, "name no secret in a grant")
	}
}

func (d *decoder) checkReferences(c *Config, g *Gateway) {
	known := slices.Sorted(maps.Keys(c.Plugins))
	look := func(key []string, name string) {
		if c.Plugins[name] != nil || d.faults.At([]string{"plugins", name}) || d.faults.At(key) {
			return
		}
		hint := tomltext.DidYouMean(name, known)
		if hint == "" {
			hint = fmt.Sprintf("add [plugins.%s] with its path", name)
		}
		d.fault(key, hint, "no plugin %q", name)
	}
	key := []string{"gateways", g.Name}
	look(under(key, "launcher"), g.Launcher)
	for list, names := range map[string][]string{
		"unload": g.Unload, "doctors": g.Doctors,
		"classifiers": g.Classifiers,
	} {
		for i, name := range names {
			at := append(slices.Clip(key), list, strconv.Itoa(i))
			look(at, name)
			if slices.Contains(names[:i], name) {
				d.fault(at, "", "%q is listed twice", name)
			}
		}
	}
}

func (d *decoder) checkToken(g *Gateway) {
	n := 0
	for _, set := range []bool{g.Token.Env != "", g.Token.File != "", g.Token.Generate} {
		if set {
			n++
		}
	}
	key := []string{"gateways", g.Name, "token"}
	_, given := d.where[tomltext.Join(key)]
	_, aligned := d.where[tomltext.Join(under(key, "align"))]
	switch {
	case n == 0 && (!given || aligned):
		g.Token.Generate = true
	case n != 1 && !d.faults.At(key):
		d.fault(key, `write {env = "NAME"}, {file = "PATH"} or {generate = true}`,
			"exactly one source is needed, got %d", n)
	case strings.ContainsAny(g.Token.Env, "= "):
		d.fault(under(key, "env"), "name the variable here, not the token", "is not the name of a variable")
	}
}

func (d *decoder) checkTLS(g *Gateway) {
	key := []string{"gateways", g.Name, "tls"}
	switch {
	case g.TLS.Fingerprint != "" && g.TLS.Pin() == "":
		d.fault(under(key, "fingerprint"), "write the 64 hexadecimal digits of its SHA-256",
			"is not the fingerprint of a certificate")
	case g.TLS.ServerName != "" && g.TLS.CA == "":
		d.fault(under(key, "server_name"), "set tls.ca, or remove it", "means nothing without tls.ca")
	}
}

func (d *decoder) checkLaunch(g *Gateway) {
	key := []string{"gateways", g.Name, "launch"}
	hint := fmt.Sprintf("use gateways.%s.token: the gateway gets it in its environment", g.Name)
	d.checkSecrets(under(key, "command"), g.Launch.Command, hint)
	d.checkSecrets(under(key, "args"), g.Launch.Args, hint)
	if len(g.Launch.Command) > 0 && strings.TrimSpace(g.Launch.Command[0]) == "" {
		d.fault(under(key, "command"), "", "names no program")
	}
	d.checkPaths([]string{"gateways", g.Name, "repair", "evidence_read"}, g.Repair.EvidenceRead)
	if g.Launch.OutputMaxSize%2 != 0 { // the log has two halves
		d.fault(under(key, "output_max_size"), "", "must be an even number of bytes")
	}
}

// checkSecrets rejects flags that would show a secret to everyone: in the process list.
func (d *decoder) checkSecrets(key, words []string, hint string) {
	for i, w := range words {
		flag, _, _ := strings.Cut(w, "=")
		switch strings.ToLower(strings.TrimLeft(flag, "-")) {
		case "token", "password", "api-key", "apikey", "secret":
			if strings.HasPrefix(flag, "-") {
				d.fault(under(key, strconv.Itoa(i)), hint, "%s would show a secret in the process list", flag)
			}
		}
	}
}

func (d *decoder) checkTimes(g *Gateway) {
	key := []string{"gateways", g.Name}
	for _, row := range []struct {
		table, small, large string
		wrong               bool
	}{
		{"reconnect", "base", "max", g.Reconnect.Base > g.Reconnect.Max},
		{"ready", "interval", "no_progress", g.Ready.Interval > g.Ready.NoProgress},
		{"ready", "no_progress", "timeout", g.Ready.NoProgress > g.Ready.Timeout},
	} {
		if row.wrong {
			d.fault(append(slices.Clip(key), row.table, row.small), "", "must not be longer than %s.%s", row.table,
				row.large)
		}
	}
}

func (d *decoder) checkPorts(c *Config) {
	owner := map[int]string{}
	for _, name := range c.GatewayNames() {
		port := c.Gateways[name].Port
		if other, taken := owner[port]; taken {
			d.fault([]string{"gateways", name, "port"}, "give each gateway a port of its own",
				"%d is also the port of gateway %q", port, other)
			continue
		}
		owner[port] = name
	}
}
