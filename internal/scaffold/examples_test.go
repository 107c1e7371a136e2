package scaffold

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gatehost/gatehost/shared/plugin"
)

// TestExamplesAreWhatIsMade holds examples/doctor-LANG and the templates equal; -update writes them.
func TestExamplesAreWhatIsMade(t *testing.T) {
	for lang, interpreter := range map[string]string{Node: "/usr/bin/node", Python: "/usr/bin/python3"} {
		dir := filepath.Join("../../examples", "doctor-"+lang)
		want, err := contents(data{Name: "doctor-" +
			lang, Kind: plugin.KindDoctor, Lang: lang, Version: version, Interpreter: interpreter})
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := fill(dir, want); err != nil {
				t.Fatal(err)
			}
		}
		got := map[string]bool{}
		for _, name := range tree(t, dir) {
			got[name] = true
			text := read(t, filepath.Join(dir, name))
			if f, made := want[name]; !made || string(f.data) != text {
				t.Errorf("examples/doctor-%s/%s is not what `gatehost plugin new doctor` makes: run make proto", lang,
					name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil || !got[name] {
				t.Errorf("examples/doctor-%s has no %s: %v", lang, name, err)
			}
		}
	}
}
