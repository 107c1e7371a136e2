package reload

import (
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/registry"
	"github.com/gatehost/gatehost/shared/plugin"
)

// served are running plugins with what they serve as.
type served map[string]plugin.Kind

func (s served) Plugins() []pluginhost.State {
	var out []pluginhost.State
	for name, kind := range s {
		out = append(out, pluginhost.State{
			Name: name, State: pluginhost.Running, Services: []pluginhost.Service{{Kind: kind}},
		})
	}
	return out
}
func (served) Spec(string) (pluginhost.Spec, error) { return pluginhost.Spec{}, nil }

// TestReloadFindsWhatTheChangedPartsDoNotHave, and holds nothing against parts that do not change.
func TestReloadFindsWhatTheChangedPartsDoNotHave(t *testing.T) {
	load := func(change func(*config.Gateway)) *config.Config {
		c, err := config.Default()
		if err != nil {
			t.Fatal(err)
		}
		g := c.Gateways["main"]
		g.Launch.Command, g.Launcher, g.Doctors, g.Classifiers = []string{"/bin/sh"}, "utility", nil, nil
		change(g)
		return c
	}
	running := served{"utility": plugin.KindLauncher, "doctor": plugin.KindDoctor}
	for name, row := range map[string]struct {
		before, after func(*config.Gateway)
		added         []string
		want          string
	}{
		"a program": {
			added: []string{"main"}, after: func(g *config.Gateway) { g.Launch.Command = []string{"/nonexistent/x"} },
			want: "gateways.main.launch.command: ",
		},
		"a doctor as launcher": {
			after: func(g *config.Gateway) { g.Launcher = "doctor" },
			want:  `gateways.main.launcher: plugin "doctor" does not serve as launcher`,
		},
		"a launcher as doctor": {
			after: func(g *config.Gateway) { g.Doctors = []string{"utility"} },
			want:  `gateways.main.doctors.0: plugin "utility" does not serve as doctor`,
		},
		"it was so before": {
			before: func(g *config.Gateway) { g.Launcher = "doctor" }, after: func(g *config.Gateway) { g.Launcher = "doctor" },
		},
		"all is there":         {added: []string{"main"}},
		"what does not change": {after: func(g *config.Gateway) { g.Launch.Command = []string{"/nonexistent/x"} }},
	} {
		none := func(*config.Gateway) {}
		if row.before == nil {
			row.before = none
		}
		if row.after == nil {
			row.after = none
		}
		p := &plan{from: &registry.Set{Config: load(row.before)}, to: load(row.after), added: row.added}
		got := p.missing(running)
		if row.want == "" && len(got) > 0 ||
			row.want != "" && (len(got) != 1 || !strings.Contains(got[0].String(), row.want)) {
			t.Errorf("%s: %v, want %q", name, got, row.want)
		}
	}
}
