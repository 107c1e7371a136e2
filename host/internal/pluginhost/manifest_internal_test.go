package pluginhost

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/shared/plugin"
)

// TestWhatAManifestAsksForAndIsNotGivenIsNamed: by the keys that give it.
func TestWhatAManifestAsksForAndIsNotGivenIsNamed(t *testing.T) {
	asks := &manifest.Manifest{
		Grants: []string{"gateway-config", "gateway-token"}, Read: []string{"/srv/models"}, Write: []string{"/srv/cache"},
		Network: true,
	}
	all := []string{"gateway-config", "gateway-token"}
	for _, row := range []struct {
		name   string
		asks   *manifest.Manifest
		grants []string
		shut   *sandbox.Spec
		want   string
	}{
		{"a plugin that is one file", nil, nil, &sandbox.Spec{}, ""},
		{
			"nothing is given", asks, nil, &sandbox.Spec{},
			`plugins.p.grant "gateway-config", plugins.p.grant "gateway-token", plugins.p.sandbox.network = true, ` +
				`plugins.p.sandbox.read "/srv/models", plugins.p.sandbox.write "/srv/cache"`,
		},
		{"one grant is given", asks, all[:1], nil, `plugins.p.grant "gateway-token"`},
		{"not sandboxed", asks, all, nil, ""},
		{
			"reading is given for both", asks, all, &sandbox.Spec{Read: []string{"/srv"}, Network: true},
			`plugins.p.sandbox.write "/srv/cache"`,
		},
		{"writing is given for both", asks, all, &sandbox.Spec{Write: []string{"/srv"}, Network: true}, ""},
		{
			"no network is asked for", &manifest.Manifest{Read: []string{"/srv/models"}}, nil, &sandbox.Spec{},
			`plugins.p.sandbox.read "/srv/models"`,
		},
	} {
		exe := &executable{manifest: row.asks}
		if got := exe.lacks(Spec{Name: "p", Grants: row.grants, Sandbox: row.shut}); got != row.want {
			t.Errorf("%s:\n got %s\nwant %s", row.name, got, row.want)
		}
	}
}

// loud returns a plugin that was not started, with its log.
func loud(spec Spec, exe *executable) (*supervisor, *generation, *bytes.Buffer) {
	var out bytes.Buffer
	s := newSupervisor(Options{
		Log: hclog.New(&hclog.LoggerOptions{Output: &out}), OnState: func(State) {}, Speaks: Speaks(),
	}, spec, "")
	return s, newGeneration(&spec, exe, nil), &out
}

func TestAnotherVersionThanThatOfTheManifestIsRemarked(t *testing.T) {
	m := &manifest.Manifest{Plugin: "mine", Version: "1.2.3", Kinds: []string{"doctor"}}
	for version, remarks := range map[string]int{"1.2.3": 0, "1.2.4": 1} {
		s, gen, out := loud(Spec{Name: "p"}, &executable{manifest: m})
		info := plugin.Info{Name: "mine", Version: version, Services: []plugin.ServiceInfo{{Kind: plugin.KindDoctor}}}
		if err := s.compare(gen, info); err != nil {
			t.Error(err)
		}
		if strings.Count(out.String(), "another version than its manifest") != remarks {
			t.Errorf("version %s: log = %s", version, out)
		}
	}
}

func TestGrantsThatAreAskedForAndNotGivenAreLoggedOnce(t *testing.T) {
	spec := Spec{Name: "p", Grants: []string{"given"}}
	for _, row := range []struct {
		name string
		m    *manifest.Manifest
		want []string
	}{
		{"a file", nil, []string{"withheld"}},
		{"a directory", &manifest.Manifest{Grants: []string{"given", "withheld", "more"}}, []string{"more", "withheld"}},
	} {
		s, gen, out := loud(spec, &executable{manifest: row.m})
		gen.info.WantedGrants = []string{"withheld", "given"}
		s.tellWithheld(gen)
		var got []string
		for line := range strings.Lines(out.String()) {
			_, grant, _ := strings.Cut(line, "grant=")
			grant, key, _ := strings.Cut(strings.TrimSpace(grant), " ")
			if key != "key=plugins.p.grant" {
				t.Errorf("%s: %s", row.name, line)
			}
			got = append(got, grant)
		}
		if !slices.Equal(got, row.want) || !slices.Equal(gen.info.WantedGrants, []string{"withheld", "given"}) {
			t.Errorf("%s: logged %q, want %q", row.name, got, row.want)
		}
	}
}
