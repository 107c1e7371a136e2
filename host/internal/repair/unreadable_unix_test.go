//go:build unix

package repair_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/shared/doctor"
)

// TestConfigurationThatIsNoFileIsReadByNoCommand: it would wait for the other end of a pipe, or read for ever.
func TestConfigurationThatIsNoFileIsReadByNoCommand(t *testing.T) {
	for want, put := range map[string]func(path string) error{
		"a named pipe": func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"a directory":  func(p string) error { return os.Mkdir(p, 0o700) },
		"a device":     func(p string) error { return os.Symlink("/dev/zero", p) },
		"3072 MiB":     func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o600), os.Truncate(p, 3<<30)) },
	} {
		w := newWorld(t)
		if err := errors.Join(os.Remove(w.config), put(w.config)); err != nil {
			t.Fatal(err)
		}
		ran := 0
		g := repair.Gatherer{Gateway: w.facts, Report: func(c repair.Command) {
			if !c.Refused {
				ran++
			}
		}, Exec: w.exec}
		got := g.Gather(t.Context(), repair.Named{Name: "d"}, []doctor.EvidenceRequest{
			{ID: "v", Argv: append(slices.Clone(w.facts.Command), "config", "validate")}, {ID: "f", File: w.config},
		})
		if len(got) != 2 || got[0].Available || got[1].Available || ran != 0 || len(w.vendor.calls) != 0 ||
			!strings.Contains(got[0].Problem, want) {
			t.Errorf("%s: %+v, commands %v", want, got, w.vendor.calls)
		}
	}
}
