package reload

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/conditions"
	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/gateway"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/pluginspec"
	"github.com/gatehost/gatehost/host/internal/registry"
	"github.com/gatehost/gatehost/host/internal/store"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/plugin"
)

const planned = `version = 1
[plugins.utility]
path = "launcher-utility"
[plugins.mine]
path = "mine"
[plugins.mine.config]
level = 1
[plugins.spare]
path = "spare"
[gateways.main]
doctors = ["mine", "doctor"]
[gateways.other]
port = 4711
launch = {command = ["x"]}
`

// assembled returns a reloader with all its parts; nothing runs.
func assembled(t *testing.T, text string) *Reloader {
	t.Helper()
	dir := t.TempDir()
	cfg := parse(t, dir, text)
	s, err := store.Open(cfg.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	log := hclog.NewNullLogger()
	plugins := pluginhost.New(pluginhost.Options{
		Log: log, PluginDir: cfg.PluginDir, DataDir: s.PluginDir(), RunDir: s.RunDir(), RuntimeDir: dir,
	})
	set := &registry.Set{Config: cfg, Gateways: map[string]*gateway.Gateway{}, Sandboxes: map[string]control.Sandbox{}}
	for _, name := range cfg.UsedPlugins() {
		spec, sandbox, err := pluginspec.Of(cfg, name, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := plugins.Add(spec); err != nil {
			t.Fatal(err)
		}
		set.Sandboxes[name] = sandbox
	}
	env := gateway.Env{Log: log, Store: s, Plugins: plugins, Hub: events.NewHub(events.Options{})}
	t.Cleanup(env.Hub.Close)
	for _, name := range cfg.GatewayNames() {
		g, err := gateway.New(env, gateway.SettingsOf(cfg, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(g.Close)
		set.Gateways[name] = g
	}
	t.Cleanup(func() { _ = s.Close() })
	r := registry.New(cfg)
	r.Replace(set)
	newGateway := func(s gateway.Settings) (*gateway.Gateway, error) { return gateway.New(env, s) }
	return New(Options{Registry: r, Plugins: plugins, Log: log, New: newGateway})
}

func parse(t *testing.T, dir, text string) *config.Config {
	t.Helper()
	for _, name := range []string{"launcher-utility", "doctor", "mine", "another"} {
		err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755) //nolint:gosec // a program
		if err != nil {
			t.Fatal(err)
		}
	}
	text = strings.Replace(text, "version = 1\n", "version = 1\nstate_dir = \"state\"\nplugin_dir = \".\"\n", 1)
	cfg, err := config.Parse(filepath.Join(dir, "config.toml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// words returns changes in short: "plugin mine configured applied".
func words(changes []control.ReloadChange) []string {
	var out []string
	for _, c := range changes {
		w := []string{c.Scope, c.Name, c.Action, c.Result}
		if c.Scope == control.ScopeHost || c.Scope == control.ScopeGateway && c.Action == control.ChangeChanged {
			w = append(w, c.Keys...)
		}
		out = append(out, strings.Join(slices.DeleteFunc(w, func(s string) bool { return s == "" }), " "))
	}
	return out
}

func TestPlanSaysWhatEachChangeTakes(t *testing.T) {
	r := assembled(t, planned)
	dir := filepath.Dir(r.o.Registry.Config().Path)
	for _, row := range []struct {
		name string
		edit []string // old, new, ...
		want []string
	}{
		{"nothing", nil, nil},
		{"a plugin's table", []string{"level = 1", "level = 2"}, []string{"plugin mine configured applied"}},
		{
			"a grant",
			[]string{`path = "mine"`, "path = \"mine\"\ngrant = [\"gateway-config\"]"},
			[]string{"plugin mine configured applied"},
		},
		{
			"a limit",
			[]string{`path = "mine"`, "path = \"mine\"\nmemory_max = \"1GiB\""},
			[]string{"plugin mine changed applied"},
		},
		{"another program", []string{`path = "mine"`, `path = "another"`}, []string{"plugin mine replaced applied"}},
		{
			"a program that is not there",
			[]string{`path = "mine"`, `path = "nowhere"`},
			[]string{"plugin mine replaced failed"},
		},
		{
			"a plugin that no gateway uses",
			[]string{`path = "spare"`, `path = "nowhere"`},
			[]string{"plugin spare changed applied"},
		},
		{
			"one plugin less",
			[]string{`["mine", "doctor"]`, `["doctor"]`},
			[]string{"plugin mine removed applied", "gateway main changed applied gateways.main.doctors"},
		},
		{
			"one plugin more",
			[]string{`port = 4711`, "port = 4711\nunload = [\"spare\"]"},
			// its program is not there
			[]string{"plugin spare added failed", "gateway other changed applied gateways.other.unload"},
		},
		{
			"settings of a gateway that does not run",
			[]string{`port = 4711`, "port = 4712\non_conflict = \"fail\"\nliveness = {ping = \"20s\"}"},
			[]string{
				"gateway other changed applied gateways.other.liveness.ping gateways.other.on_conflict",
				"gateway other changed applied gateways.other.port",
			},
		},
		{
			"a gateway that is new",
			[]string{"[gateways.other]\n", "[gateways.third]\nport = 4712\n[gateways.other]\n"},
			[]string{"gateway third added applied"},
		},
		{
			"a gateway that is missing",
			[]string{"[gateways.other]\nport = 4711\nlaunch = {command = [\"x\"]}\n", ""},
			[]string{"plugin doctor-environment removed applied", "gateway other removed applied"},
		},
		{
			"settings of the host",
			[]string{
				"[plugins.utility]", "[journal]\nmax_files = 3\n[log]\nlevel = \"debug\"\nframes = true\n[plugins.utility]",
			},
			[]string{
				"host changed applied log.level", "host changed next-session log.frames",
				"host changed host-restart journal.max_files",
			},
		},
	} {
		p, err := r.plan(parse(t, dir, strings.NewReplacer(row.edit...).Replace(planned)))
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		if got := words(p.preview(t.Context())); !slices.Equal(got, row.want) {
			t.Errorf("%s:\n%q\nwant\n%q", row.name, got, row.want)
		}
	}
	if r.o.Registry.Config().Gateways["other"].Port != 4711 || len(r.o.Plugins.Plugins()) != 4 {
		t.Error("a plan has changed something")
	}
}

// A plugin that launched a running process is needed as long as that runs, whatever the file says; and it is not
// sandboxed meanwhile.
func TestLauncherOfWhatRunsStays(t *testing.T) {
	r := assembled(t, planned)
	dir := filepath.Dir(r.o.Registry.Config().Path)
	held := map[string][]string{"utility": {"main"}}
	plan := func(text string) *plan {
		t.Helper()
		p, err := planFor(r.o.Registry.Now(), parse(t, dir, text), r.o.Plugins, held)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	gone := strings.NewReplacer("[plugins.utility]\npath = \"launcher-utility\"\n", "",
		"[gateways.main]", "[gateways.main]\nlauncher = \"another\"", "port = 4711", "port = 4711\nlauncher = \"another\"",
		"[plugins.spare]", "[plugins.another]\npath = \"another\"\n[plugins.spare]").Replace(planned)
	p := plan(gone)
	if got := words(p.preview(t.Context())); !slices.Contains(got, "plugin utility removed next-restart") ||
		p.to.Plugins["utility"] == nil {
		t.Errorf("%q, table %+v", got, p.to.Plugins["utility"])
	}
	used := strings.Replace(gone, `["mine", "doctor"]`, `["mine", "doctor", "former"]`, 1) +
		"[plugins.former]\npath = \"launcher-utility\"\n"
	spec, _, err := pluginspec.Of(parse(t, dir, used), "former", []string{"main"})
	if err != nil || spec.Sandbox != nil || !slices.Contains(spec.Uses, plugin.KindLauncher) {
		t.Errorf("%+v, %v", spec, err)
	}
	held = nil
	if p = plan(gone); !slices.Contains(words(p.preview(t.Context())), "plugin utility removed applied") {
		t.Errorf("after its end: %q", words(p.preview(t.Context())))
	}
}

func TestRefusedFileIsToldWithAllItsFaults(t *testing.T) {
	err := badConfig(config.Faults{{File: "c", Line: 3, Message: "a"}, {File: "c", Line: 4, Message: "b"}})
	p, ok := errors.AsType[*control.Problem](err)
	if !ok || p.Code != control.CodeBadConfig || !slices.Equal(p.Faults, []string{"c:3: a", "c:4: b"}) || p.Hint == "" {
		t.Errorf("%+v", p)
	}
}

// A gateway that cannot be stopped stays. Those that come with the same reload must know its token's variable, or their
// processes inherit it (B077).
func TestGatewayThatComesKnowsTheTokenOfOneThatCouldNotGo(t *testing.T) {
	r := assembled(t, strings.Replace(planned, "[gateways.other]\n",
		"[gateways.other]\ntoken = {env = \"OTHERS_TOKEN\"}\n", 1))
	dir := filepath.Dir(r.o.Registry.Config().Path)
	r.o.Turn, r.o.Conditions = NewTurn(), conditions.New(func(control.ConditionData) {})
	var foreign []string
	real := r.o.New
	r.o.New = func(s gateway.Settings) (*gateway.Gateway, error) {
		foreign = s.ForeignTokens
		g, err := real(s)
		if err == nil {
			t.Cleanup(g.Close)
		}
		return g, err
	}
	text := strings.Replace(planned, "[gateways.other]\nport = 4711\n", "[gateways.third]\nport = 4712\n", 1)
	p, err := r.plan(parse(t, dir, text))
	if err != nil {
		t.Fatal(err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel() // no engine runs, so that nothing can be stopped
	if _, err := r.apply(stopped, p); err == nil {
		t.Fatal("a reload that was cut is said to be applied")
	}
	if !slices.Equal(foreign, []string{"OTHERS_TOKEN"}) {
		t.Errorf("the new gateway knows the variables %v", foreign)
	}
}
