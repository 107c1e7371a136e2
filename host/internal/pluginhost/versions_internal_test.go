package pluginhost

import (
	"strings"
	"testing"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// TestVersionsThatAreApartSayWhichSideToUpgrade: the older one, or either when the host is in a gap of the plugin.
func TestVersionsThatAreApartSayWhichSideToUpgrade(t *testing.T) {
	for _, row := range []struct {
		name       string
		ranges     []Versions
		text, hint string
	}{
		{
			"a newer plugin",
			[]Versions{{4, 4}, {5, 6}},
			"in versions 4 and 5 to 6, this host (gatehost 1.0) speaks 2 to 3",
			"upgrade gatehost, or go back to a plugin that speaks version 3",
		},
		{"an older plugin", []Versions{{1, 1}}, "in version 1, this host", "upgrade the plugin"},
		{"one on each side", []Versions{{1, 1}, {4, 4}}, "in versions 1 and 4, this host", "upgrade gatehost, or the plugin"},
		{"no range", []Versions{{0, 9}}, "in versions 0 to 9, which is no range", "upgrade the plugin, or tell its author"},
		{"a range backwards", []Versions{{9, 4}}, "in versions 9 to 4, which is no range", "upgrade the plugin, or tell"},
	} {
		s := Service{Kind: plugin.KindDoctor, Plugin: row.ranges, Host: Versions{2, 3}}
		err := s.apart("mine 1.2.3", "1.0")
		hint := fault.HintOf(err)
		if !strings.Contains(err.Error(), "mine 1.2.3 ") || !strings.Contains(err.Error(), row.text) ||
			!strings.HasPrefix(hint, row.hint) || row.name == "an older plugin" && hint != row.hint {
			t.Errorf("%s: %v\nhint %q", row.name, err, hint)
		}
	}
}
