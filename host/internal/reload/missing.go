package reload

import (
	"os"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/pluginspec"
	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// missing looks for what the changed parts of a file name and this machine does not have: the program of a gateway, and
// a running plugin of another kind than it is used as. What did not change is not held against a reload of other parts.
func (p *plan) missing(plugins running) config.Faults {
	var out config.Faults
	home, _ := os.UserHomeDir() // without one the profile has no default places
	for _, name := range p.relaunched() {
		g := p.to.Gateways[name]
		err := profile.Check(profile.Launch{Launch: g.Launch, Port: g.Port, Home: home, Inherited: os.Environ()})
		if err != nil {
			out = append(out, pluginspec.ProgramFault(p.to, name, err, fault.HintOf(err)))
		}
	}
	before := map[string]bool{}
	for _, state := range plugins.Plugins() {
		if state.State != pluginhost.Running {
			continue
		}
		for _, f := range pluginspec.WrongUses(p.from.Config, state.Name, kindsOf(state)) {
			before[f.Key+f.Message] = true
		}
		for _, f := range pluginspec.WrongUses(p.to, state.Name, kindsOf(state)) {
			if !before[f.Key+f.Message] {
				out = append(out, f)
			}
		}
	}
	return out
}

// relaunched returns the gateways that are new, or whose launch changes.
func (p *plan) relaunched() []string {
	out := slices.Clone(p.added)
	for _, s := range p.staying {
		of := "gateways." + s.g.Name() + ".launch."
		if slices.ContainsFunc(s.keys[config.NextLaunch], func(key string) bool { return strings.HasPrefix(key, of) }) {
			out = append(out, s.g.Name())
		}
	}
	return out
}

// kindsOf returns what a running plugin serves as.
func kindsOf(s pluginhost.State) []plugin.Kind {
	var out []plugin.Kind
	for _, svc := range s.Services {
		out = append(out, svc.Kind)
	}
	return out
}

// misused turns a step of a plugin that was started, and that does not serve as what gateways use it as, into a failed
// one.
func (r *Reloader) misused(a *application, s *pluginStep) {
	for _, state := range r.o.Plugins.Plugins() {
		if state.Name != s.Name || state.State != pluginhost.Running {
			continue
		}
		if faults := pluginspec.WrongUses(a.next.Config, s.Name, kindsOf(state)); len(faults) > 0 {
			s.Result, s.Detail = control.ReloadFailed, "it runs, and the gateways that need it do not start"
			s.Error = &control.Failure{
				Code: string(fault.InvalidArgument), Message: faults[0].Key + ": " + faults[0].Message, Hint: faults[0].Hint,
			}
		}
	}
}
