package pluginhost

import (
	"strings"
	"testing"

	"github.com/gatehost/gatehost/shared/plugin"
)

// TestServicesThatAreNotUsedAreSaidAndNoOthers: the operator learns them from the log, before a call fails.
func TestServicesThatAreNotUsedAreSaidAndNoOthers(t *testing.T) {
	doctor := plugin.ServiceInfo{Kind: plugin.KindDoctor, MinVersion: 1, MaxVersion: 1}
	for _, row := range []struct {
		name string
		info plugin.Info
		want []string // one of each line
	}{
		{"all are used", plugin.Info{Services: []plugin.ServiceInfo{doctor}}, nil},
		{
			"one is of another version",
			plugin.Info{Services: []plugin.ServiceInfo{doctor, {Kind: plugin.KindLauncher, MinVersion: 7, MaxVersion: 7}}},
			[]string{"a service of the plugin is not used; its other services are: service=launcher"},
		},
		{
			"one is unknown",
			plugin.Info{Services: []plugin.ServiceInfo{doctor}, UnknownKinds: []int32{77}},
			[]string{`unknown="kinds of a newer contract, by number: 77" hint="upgrade gatehost to use them"`},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, gen, out := loud(Spec{Name: "p"}, &executable{})
			if err := s.negotiate(gen, row.info); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(out.String(), "\n"); n != len(row.want) {
				t.Errorf("%d lines, want %d", n, len(row.want))
			}
			for _, want := range row.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("log lacks %q", want)
				}
			}
			if t.Failed() {
				t.Logf("log:\n%s", out)
			}
		})
	}
}
