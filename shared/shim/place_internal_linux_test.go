package shim

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/shim/process"
)

// TestWhereALaunchIsSeen is the table of what one place knows of a launch in another.
func TestWhereALaunchIsSeen(t *testing.T) {
	booted, err := process.Booted()
	if err != nil {
		t.Fatal(err)
	}
	here := process.Place{BootID: "boot", PIDNamespace: "pid:[1]", MachineID: "m", Host: "here"}
	other := here
	other.PIDNamespace, other.Host = "pid:[2]", "red"
	anew := here
	anew.BootID, anew.PIDNamespace = "boot before", "pid:[9]"
	machine := process.Place{BootID: "its boot", PIDNamespace: "pid:[1]", MachineID: "n", Host: "blue"}
	nameless := process.Place{BootID: "its boot", PIDNamespace: "pid:[1]"}
	old := process.Place{BootID: "boot before"}
	now := time.Now()
	for name, row := range map[string]struct {
		at        process.Place
		lock      string // file that a process holds
		beat      time.Time
		here      bool
		elsewhere string
		ended     string
	}{
		"here":                        {at: here, here: true, ended: "its shim"},
		"here, of an old shim":        {at: process.Place{BootID: "boot"}, here: true, ended: "its shim"},
		"container, its shim lives":   {at: other, lock: lockFile, elsewhere: `host "red"`},
		"container, the gateway does": {at: other, lock: aliveFile, elsewhere: "another pid namespace"},
		// The kernel has ended the locks with the processes: no lease has to be waited for.
		"container that has ended":    {at: other, beat: now, ended: "container"},
		"before this boot":            {at: anew, beat: booted.Add(-time.Minute), ended: "started anew"},
		"clone of this machine":       {at: anew, beat: now, elsewhere: "another place"},
		"before, of an old shim":      {at: old, beat: now, ended: "started anew"},
		"other machine":               {at: machine, beat: now, elsewhere: `host "blue"`},
		"other machine, lease over":   {at: machine, beat: now.Add(-Lease - time.Second), ended: "without a heartbeat"},
		"other machine, just in time": {at: machine, beat: now.Add(-Lease + 5*time.Second), elsewhere: "heartbeat"},
		"machine without a name":      {at: nameless, beat: now, elsewhere: "without a name"},
		"clock of the future":         {at: machine, beat: now.Add(time.Hour), elsewhere: "0s old"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "id")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{lockFile, aliveFile} {
				if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if row.lock != "" {
				f, err := os.OpenFile(filepath.Join(dir, row.lock), os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				if held, err := flock(f); held == nil {
					t.Fatal(err)
				}
				defer f.Close()
			}
			if !row.beat.IsZero() {
				if err := WriteBeat(dir); err != nil {
					t.Fatal(err)
				}
				if err := os.Chtimes(filepath.Join(dir, beatFile), row.beat, row.beat); err != nil {
					t.Fatal(err)
				}
			}
			var s State
			s.At(row.at)
			got := s.seenFrom(here, dir)
			if got.here != row.here || (got.elsewhere == "") != (row.elsewhere == "") ||
				!strings.Contains(got.elsewhere, row.elsewhere) || !strings.Contains(got.ended, row.ended) {
				t.Errorf("seen as %+v", got)
			}
			if names, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ".clock-*")); len(names) > 0 {
				t.Errorf("left behind: %v", names)
			}
		})
	}
}

// TestLockOfABundleThatCannotBeAsked: where locks cannot be asked for, the heartbeat decides.
func TestLockOfABundleThatCannotBeAsked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "id")
	if err := os.MkdirAll(filepath.Join(dir, lockFile), 0o700); err != nil { // a directory cannot be opened to be written
		t.Fatal(err)
	}
	if err := WriteBeat(dir); err != nil {
		t.Fatal(err)
	}
	here := process.Place{BootID: "boot", PIDNamespace: "pid:[1]", MachineID: "m"}
	var s State
	s.At(process.Place{BootID: "boot", PIDNamespace: "pid:[2]", MachineID: "m"})
	if got := s.seenFrom(here, dir); got.elsewhere == "" {
		t.Errorf("seen as %+v; it may live", got)
	}
	past := time.Now().Add(-Lease - time.Second)
	if err := os.Chtimes(filepath.Join(dir, beatFile), past, past); err != nil {
		t.Fatal(err)
	}
	if got := s.seenFrom(here, dir); got.elsewhere != "" || got.here {
		t.Errorf("seen as %+v; its lease is over", got)
	}
}

// elsewhere makes the bundle of a launch that lives in another pid namespace: its lock is held, and its pid is that of
// a process here that must not be touched.
func elsewhere(t *testing.T) (dir string) {
	t.Helper()
	here, err := process.Here()
	if err != nil {
		t.Fatal(err)
	}
	me, err := process.Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "id")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	alive, err := HoldAlive(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { alive.Close() })
	s := State{
		Version: ProtocolVersion, LaunchID: "id", Phase: PhaseRunning, Shim: me, Gateway: me, StartedAt: time.Now(),
		Socket: filepath.Join(dir, "x.sock"), Argv: []string{"x"}, SpecHash: "h",
	}
	here.PIDNamespace = "pid:[2]"
	s.At(here)
	if err := WriteState(dir, s); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLaunchElsewhereIsNotTouched(t *testing.T) {
	dir := elsewhere(t)
	b, err := OpenBundle(dir)
	if err != nil {
		t.Fatal(err)
	}
	if b.Status != StatusElsewhere || b.Live() || b.ShimAlive {
		t.Fatalf("status %s, live %v, shim %v: the pids are of another place", b.Status, b.Live(), b.ShimAlive)
	}
	_, stopErr := b.StopUnwatched(t.Context(), 0)
	_, startErr := Start(t.Context(), StartOptions{
		ShimPath: "/nonexistent", BundleDir: dir,
		Spec: Spec{LaunchID: "id", Argv: []string{"x"}, Socket: filepath.Join("/tmp", "x.sock")},
	})
	for what, err := range map[string]error{
		"Elsewhere": b.Elsewhere(), "StopUnwatched": stopErr, "Signal": b.Signal("SIGKILL"), "Remove": Remove(dir),
		"Remove of a bundle": b.Remove(), "Start": startErr,
	} {
		if !errors.Is(err, ErrElsewhere) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, stateFile)); err != nil {
		t.Error(err)
	}
	if _, err := Connect(t.Context(), dir); err == nil {
		t.Error("a connection to a shim of another place")
	}
}

// TestClaimedLaunchHasEnded: the operator says that no other place uses the directory.
func TestClaimedLaunchHasEnded(t *testing.T) {
	dir := elsewhere(t)
	b, err := OpenBundle(dir)
	if err != nil {
		t.Fatal(err)
	}
	b = b.Claim()
	if b.Status != StatusEnded || b.Elsewhere() != nil || !strings.Contains(b.Detail, "claimed") {
		t.Errorf("status %s, detail %q", b.Status, b.Detail)
	}
	if stopped, err := b.StopUnwatched(t.Context(), 0); err != nil || stopped.Killed || stopped.Swept > 0 {
		t.Errorf("%+v, %v: its pids are not ours", stopped, err)
	}
	if err := b.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("it is still there")
	}
}

// TestEndedLaunchOfAnotherPlaceIsPlain: what is recorded needs no process table.
func TestEndedLaunchOfAnotherPlaceIsPlain(t *testing.T) {
	dir := elsewhere(t)
	var s State
	if err := readJSON(filepath.Join(dir, stateFile), &s); err != nil {
		t.Fatal(err)
	}
	s.Phase, s.Cleared = PhaseEnded, true
	if err := WriteState(dir, s); err != nil {
		t.Fatal(err)
	}
	record, err := ReserveExit(dir)
	if err != nil {
		t.Fatal(err)
	}
	record.Write(Exit{Code: 3, At: time.Now(), Final: true})
	record.Close()
	if b, err := OpenBundle(dir); err != nil || b.Status != StatusEnded || b.Exit == nil || b.Exit.Code != 3 {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestBrokenBundleOfAnotherPlaceIsKept: what cannot be read may live there.
func TestBrokenBundleOfAnotherPlaceIsKept(t *testing.T) {
	dir := elsewhere(t)
	if err := os.WriteFile(filepath.Join(dir, stateFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if moved, err := Quarantine(t.Context(), t.TempDir(), dir); !errors.Is(err, ErrRunning) {
		t.Errorf("%+v, %v", moved, err)
	}
}
