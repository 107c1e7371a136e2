package launcherutility_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	launcherutility "github.com/gatehost/gatehost/plugins/launcher-utility"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/process"
)

// configured is a launcher with a table of its own.
func (p place) configured(t *testing.T, table map[string]any) *launcherutility.Launcher {
	t.Helper()
	table["shim"] = shimPath
	config, err := json.Marshal(table)
	if err != nil {
		t.Fatal(err)
	}
	l := launcherutility.New()
	diagnostics, err := l.Configure(t.Context(), plugin.ConfigureRequest{
		Config: config, Directories: plugin.Directories{Data: p.dir, Run: p.run(), Runtime: filepath.Join(p.dir, "s")},
	})
	if err != nil || len(diagnostics) > 0 {
		t.Fatalf("Configure = %v, %v", diagnostics, err)
	}
	return l
}

// onAnotherMachine makes the bundle of a launch whose machine shares the directory and is alive.
func (p place) onAnotherMachine(t *testing.T, id string) {
	t.Helper()
	dir := filepath.Join(p.run(), id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	me, err := process.Identify(os.Getpid()) // its pids mean nothing here
	if err != nil {
		t.Fatal(err)
	}
	s := shim.State{
		Version: shim.ProtocolVersion, LaunchID: id, Phase: shim.PhaseRunning, Shim: me, Gateway: me,
		StartedAt: time.Now(), Argv: []string{"x"}, SpecHash: "h", Labels: map[string]string{"gatehost.gateway": "main"},
	}
	s.At(process.Place{BootID: "another", PIDNamespace: "pid:[1]", MachineID: "another", Host: "blue"})
	if err := shim.WriteState(dir, s); err != nil {
		t.Fatal(err)
	}
	if err := shim.WriteBeat(dir); err != nil {
		t.Fatal(err)
	}
}

func TestLaunchOfAnotherMachineIsListedAndLeftAlone(t *testing.T) {
	p := newPlace(t)
	p.onAnotherMachine(t, "away")
	l := p.open(t)
	list, err := l.List(t.Context(), "main")
	if err != nil || len(list.Instances) != 1 || list.Instances[0].Phase != launcher.PhaseElsewhere ||
		list.Instances[0].Live() || list.Instances[0].Detail == "" {
		t.Fatalf("List = %+v, %v", list, err)
	}
	_, recoverErr := l.Recover(t.Context(), "away")
	_, inspectErr := l.Inspect(t.Context(), "away")
	_, stopErr := l.Stop(t.Context(), "away", 0)
	for what, err := range map[string]error{
		"Recover": recoverErr, "Inspect": inspectErr, "Stop": stopErr, "Release": l.Release(t.Context(), "away"),
		"Signal": l.Signal(t.Context(), "away", "SIGKILL"),
	} {
		if !errors.Is(err, fault.ErrConflict) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := os.Stat(filepath.Join(p.run(), "away", "state.json")); err != nil {
		t.Error(err)
	}
}

func TestExclusiveStorageEndsLaunchesOfOtherMachines(t *testing.T) {
	p := newPlace(t)
	p.onAnotherMachine(t, "away")
	l := p.configured(t, map[string]any{"exclusive_storage": true})
	list, err := l.List(t.Context(), "main")
	if err != nil || len(list.Instances) != 1 || list.Instances[0].Phase != launcher.PhaseEnded {
		t.Fatalf("List = %+v, %v", list, err)
	}
	if _, err := l.Stop(t.Context(), "away", 0); err != nil {
		t.Error(err)
	}
	if err := l.Release(t.Context(), "away"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(p.run(), "away")); err == nil {
		t.Error("its bundle is still there")
	}
}
