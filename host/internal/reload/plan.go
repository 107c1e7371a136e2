package reload

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/gateway"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/pluginspec"
	"github.com/gatehost/gatehost/host/internal/registry"
	"github.com/gatehost/gatehost/host/internal/view"
	"github.com/gatehost/gatehost/shared/control"
)

// plan is what another configuration would change. Making it changes nothing, and applying it does not change it.
type plan struct {
	from *registry.Set
	to   *config.Config // the configuration to put in force

	host    []control.ReloadChange
	plugins []*pluginStep
	staying []*gatewayStep
	added   []string // names of gateways
	removed []string // names of gateways
}

// pluginStep is one plugin that is added, removed or changed.
type pluginStep struct {
	control.ReloadChange

	how     pluginhost.ChangeKind // of a plugin that changes
	spec    pluginhost.Spec
	sandbox control.Sandbox
}

// gatewayStep is a gateway that stays, with its changed keys by the time from which they count.
type gatewayStep struct {
	g    *gateway.Gateway
	keys map[config.When][]string
}

// running is what a plan reads about the running plugins.
type running interface {
	Plugins() []pluginhost.State
	Spec(name string) (pluginhost.Spec, error)
}

// planFor compares what a file says with what is in force. held has the plugins that launched running processes, with
// the names of their gateways: they are needed as long as those run. Error: config.Faults.
func planFor(from *registry.Set, file *config.Config, plugins running, held map[string][]string) (*plan, error) {
	p := &plan{from: from, to: file.Under(from.Config)}
	keys := p.sort(file)
	p.gateways(keys)
	if faults := p.planPlugins(keys, plugins, held); len(faults) > 0 {
		return nil, faults
	}
	return p, nil
}

// sort assigns the changed keys to the host, plugins and gateways, and returns those of each plugin and gateway.
func (p *plan) sort(file *config.Config) map[string]map[config.When][]string {
	keys := map[string]map[config.When][]string{}
	put := func(of string, c config.Change) {
		if keys[of] == nil {
			keys[of] = map[config.When][]string{}
		}
		keys[of][c.When] = append(keys[of][c.When], c.String())
	}
	for _, c := range p.from.Config.Changes(p.to) {
		switch {
		case c.Key[0] == "plugins", c.Key[0] == "gateways":
			put(c.Key[0]+"."+c.Key[1], c)
		default:
			put("", c)
		}
	}
	for _, c := range p.from.Config.Changes(file) {
		if c.When == config.HostRestart {
			put("", c)
		}
	}
	for _, when := range []config.When{config.Now, config.NextSession, config.HostRestart} {
		if of := keys[""][when]; len(of) > 0 {
			p.host = append(p.host, control.ReloadChange{
				Scope: control.ScopeHost, Action: control.ChangeChanged, Keys: of, Result: resultAt(when, true),
			})
		}
	}
	return keys
}

// resultAt returns in the API's words from when a change counts. When nothing runs, every change counts at once.
func resultAt(when config.When, runs bool) string {
	switch {
	case when == config.HostRestart:
		return control.ReloadHostRestart
	case when == config.NextSession && runs:
		return control.ReloadNextSession
	case when == config.NextLaunch && runs:
		return control.ReloadNextRestart
	default:
		return control.ReloadNow
	}
}

// gateways finds the gateways that stay, are added and are removed.
func (p *plan) gateways(keys map[string]map[config.When][]string) {
	for _, name := range p.to.GatewayNames() {
		g, runs := p.from.Gateways[name]
		if !runs {
			p.added = append(p.added, name)
			continue
		}
		p.staying = append(p.staying, &gatewayStep{g: g, keys: keys["gateways."+name]})
	}
	for _, name := range slices.Sorted(maps.Keys(p.from.Gateways)) {
		if p.to.Gateways[name] == nil {
			p.removed = append(p.removed, name)
		}
	}
}

// planPlugins finds the steps for plugins.
func (p *plan) planPlugins(
	keys map[string]map[config.When][]string, plugins running, held map[string][]string,
) config.Faults {
	var faults config.Faults
	running := map[string]bool{}
	wanted := p.to.UsedPlugins()
	for _, state := range plugins.Plugins() {
		running[state.Name] = true
	}
	for _, name := range wanted {
		spec, sandbox, err := pluginspec.Of(p.to, name, held[name])
		if err != nil {
			faults = append(faults, config.Fault{
				File: p.to.Path, Line: p.to.Line("plugins", name, "sandbox", "mode"), Key: "plugins." + name, Message: err.Error(),
			})
			continue
		}
		s := &pluginStep{spec: spec, sandbox: sandbox, ReloadChange: control.ReloadChange{
			Scope: control.ScopePlugin, Name: name, Action: control.ChangeAdded, Result: control.ReloadNow,
			Keys: keys["plugins."+name][config.Now],
		}}
		if running[name] && !s.compare(plugins) {
			continue
		}
		p.plugins = append(p.plugins, s)
	}
	for _, name := range slices.Sorted(maps.Keys(running)) {
		if slices.Contains(wanted, name) {
			continue
		}
		s := &pluginStep{ReloadChange: control.ReloadChange{
			Scope: control.ScopePlugin, Name: name, Action: control.ChangeRemoved, Result: control.ReloadNow,
		}}
		if by := held[name]; len(by) > 0 {
			s.Result, s.Detail = control.ReloadNextRestart, "it launched running processes of "+strings.Join(by, ", ")
			p.to.Plugins[name] = p.from.Config.Plugins[name]
		}
		p.plugins = append(p.plugins, s)
	}
	for _, name := range slices.Sorted(maps.Keys(p.to.Plugins)) {
		if of := keys["plugins."+name][config.Now]; len(of) > 0 && !running[name] && !slices.Contains(wanted, name) {
			p.host = append(p.host, control.ReloadChange{
				Scope: control.ScopePlugin, Name: name, Action: control.ChangeChanged, Keys: of, Result: control.ReloadNow,
				Detail: "no gateway uses it",
			})
		}
	}
	return faults
}

// heldBy returns the plugins that launched running processes of the gateways of a set, with the names of these.
func heldBy(set *registry.Set) map[string][]string {
	out := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(set.Gateways)) {
		for _, by := range set.Gateways[name].Launchers() {
			out[by] = append(out[by], name)
		}
	}
	return out
}

// compare sets what a changed table means for a running plugin; it returns false when nothing has changed.
func (s *pluginStep) compare(plugins running) bool {
	before, err := plugins.Spec(s.Name)
	if err != nil {
		return true
	}
	s.how = pluginhost.Compare(before, s.spec)
	s.Action = actionOf(s.how)
	if len(s.Keys) == 0 && s.how != pluginhost.Same {
		s.Detail = "gateways use it in another way"
	}
	return s.how != pluginhost.Same || len(s.Keys) > 0
}

func actionOf(how pluginhost.ChangeKind) string {
	switch how {
	case pluginhost.Configured:
		return control.ChangeConfigured
	case pluginhost.Replaced:
		return control.ChangeReplaced
	case pluginhost.Same, pluginhost.Noted:
		return control.ChangeChanged
	default:
		return control.ChangeChanged
	}
}

// refusal is the error for a file without gateways that must not be stopped for that.
func (p *plan) refusal() error {
	hint := "add --remove to stop " + strings.Join(p.removed, ", ") + "; or put them back into the file"
	return &control.Problem{
		Status: http.StatusConflict, Code: control.CodeGatewaysGone, Title: http.StatusText(http.StatusConflict), Hint: hint,
		Detail: fmt.Sprintf("cannot reload %s: it no longer has %s, which this host supervises; nothing was changed",
			p.to.Path, theGateways(p.removed)),
	}
}

func theGateways(names []string) string {
	if len(names) == 1 {
		return "the gateway " + names[0]
	}
	return "the gateways " + strings.Join(names, ", ")
}

// preview returns what would be done, for a dry run. A plugin whose file is wrong fails now as it would then.
func (p *plan) preview(ctx context.Context) []control.ReloadChange {
	out := slices.Clone(p.host)
	for _, s := range p.plugins {
		c := s.ReloadChange
		if c.Action == control.ChangeAdded || c.Action == control.ChangeReplaced {
			if err := pluginhost.Check(ctx, s.spec, p.to.PluginDir); err != nil {
				c.Result, c.Error = control.ReloadFailed, view.Failure(err)
			}
		}
		out = append(out, c)
	}
	for _, name := range p.removed {
		out = append(out, departure(name))
	}
	for _, name := range p.added {
		out = append(out, p.arrival(name))
	}
	for _, s := range p.staying {
		out = append(out, s.changes()...)
	}
	return out
}

func (p *plan) arrival(name string) control.ReloadChange {
	c := control.ReloadChange{
		Scope: control.ScopeGateway, Name: name, Action: control.ChangeAdded, Result: control.ReloadNow,
		Detail: "it is started",
	}
	if !p.to.Gateways[name].Autostart {
		c.Detail = "it is not started: autostart = false"
	}
	return c
}

func departure(name string) control.ReloadChange {
	return control.ReloadChange{
		Scope: control.ScopeGateway, Name: name, Action: control.ChangeRemoved, Result: control.ReloadNow,
	}
}

// changes returns the changes of a gateway that stays, by the time from which they count.
func (s *gatewayStep) changes() []control.ReloadChange {
	var out []control.ReloadChange
	runs := s.g.Launched()
	_, connected := s.g.Engine().Session()
	for _, when := range []config.When{config.Now, config.NextSession, config.NextLaunch} {
		keys := s.keys[when]
		if len(keys) == 0 {
			continue
		}
		c := control.ReloadChange{
			Scope: control.ScopeGateway, Name: s.g.Name(), Action: control.ChangeChanged, Keys: keys,
			Result: resultAt(when, runs && when == config.NextLaunch || connected && when == config.NextSession),
		}
		if when == config.NextLaunch {
			c.Detail = "its next start uses it"
			if runs {
				c.Detail = "the running process is not changed; restart the gateway when convenient"
			}
		}
		out = append(out, c)
	}
	return out
}
