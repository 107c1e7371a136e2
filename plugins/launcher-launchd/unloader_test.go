package launcherlaunchd_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	launcherlaunchd "github.com/gatehost/gatehost/plugins/launcher-launchd"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// fakeEnv names the directory of the fake launchctl. With it set this test binary is that program: a fake, since there
// is no launchd here. What it prints has the form of testdata/README.md.
const fakeEnv = "GATEHOST_FAKE_LAUNCHCTL"

// script is how the fake behaves.
type script struct {
	Print     string // testdata file of a loaded service
	PrintFail string // "hang", "garbage", "flood", "crash", "denied", "no domain"
	Bootout   string // "", "hang", "denied", "busy", "eio", "ignored", "comes back"
	Bootstrap string // "", "eio", "denied", "ignored"
	GoneAfter int    // looks for which a booted out service is still there, as SIGTERMed
}

// state is what the fake's launchd knows.
type state struct {
	Loaded bool
	Dying  int // looks left
	Back   int // checks until another program loads it again
	Calls  []string
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(fakeEnv); dir != "" {
		os.Exit(fakeLaunchctl(dir, os.Args[1:]))
	}
	os.Exit(m.Run())
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

func fakeLaunchctl(dir string, args []string) int {
	var sc script
	var st state
	if err := errors.Join(readJSON(filepath.Join(dir, "script"), &sc), readJSON(filepath.Join(dir, "state"),
		&st)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 70
	}
	st.Calls = append(st.Calls, strings.Join(args, " "))
	var code int
	switch args[0] {
	case "print":
		code = fakePrint(sc, &st)
	case "bootout":
		code = fakeBootout(sc, &st)
	case "bootstrap":
		code = fakeBootstrap(sc, &st)
	default:
		code = 64
	}
	if err := writeJSON(filepath.Join(dir, "state"), st); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 70
	}
	return code
}

func fakePrint(sc script, st *state) int {
	switch sc.PrintFail {
	case "hang":
		time.Sleep(time.Hour)
	case "garbage":
		fmt.Println("\x00\xff{{{ = } = {")
		return 0
	case "flood":
		for range 1000 {
			fmt.Println(strings.Repeat("x", 64<<10))
		}
		return 0
	case "crash":
		return 134
	case "denied":
		fmt.Fprintln(os.Stderr, "Could not print service: 1: Operation not permitted")
		return 1
	case "no domain":
		fmt.Fprintln(os.Stderr, "Bad request.\nCould not find domain for user gui: 501")
		return 125
	}
	if st.Back > 0 {
		if st.Back--; st.Back == 0 {
			st.Loaded = true
		}
	}
	file := sc.Print
	if st.Dying > 0 {
		st.Dying--
		file = "print-sigtermed.txt"
	} else if !st.Loaded {
		fmt.Fprintln(os.Stderr,
			"Bad request.\nCould not find service \"ai.openclaw.gateway\" in domain for user gui: 501")
		return 113
	}
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 70
	}
	_, _ = os.Stdout.Write(text)
	return 0
}

func fakeBootout(sc script, st *state) int {
	gone := func() { st.Loaded, st.Dying = false, sc.GoneAfter }
	switch sc.Bootout {
	case "hang":
		time.Sleep(time.Hour)
	case "denied":
		fmt.Fprintln(os.Stderr, "Boot-out failed: 1: Operation not permitted")
		return 1
	case "busy":
		gone()
		fmt.Fprintln(os.Stderr, "Boot-out failed: 36: Operation now in progress")
		return 36
	case "eio":
		gone()
		fmt.Fprintln(os.Stderr, "Boot-out failed: 5: Input/output error")
		return 5
	case "ignored":
	case "comes back":
		gone()
		st.Back = sc.GoneAfter + 2
	default:
		gone()
	}
	return 0
}

func fakeBootstrap(sc script, st *state) int {
	switch sc.Bootstrap {
	case "eio":
		fmt.Fprintln(os.Stderr,
			"Bootstrap failed: 5: Input/output error\nTry re-running the command as root for richer errors.")
		return 5
	case "denied":
		fmt.Fprintln(os.Stderr, "Bootstrap failed: 1: Operation not permitted")
		return 1
	case "ignored":
	default:
		st.Loaded = true
	}
	return 0
}

const id = "gui/501/ai.openclaw.gateway"

var gateway = plugin.GatewayFacts{Name: "main", Profile: "openclaw", Port: 18789, StateDir: "/Users/u/.openclaw"}

type world struct {
	dir string
	u   *launcherlaunchd.Unloader
}

func newWorld(t *testing.T, sc script, loaded bool) world {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := world{dir: t.TempDir(), u: launcherlaunchd.New()}
	if sc.Print == "" {
		sc.Print = "print-running.txt"
	}
	if err := errors.Join(writeJSON(filepath.Join(w.dir, "script"), sc), writeJSON(filepath.Join(w.dir, "state"),
		state{Loaded: loaded})); err != nil {
		t.Fatal(err)
	}
	t.Setenv(fakeEnv, w.dir)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // else each call of the fake takes a second
	configure(t, w.u, map[string]any{"launchctl": self, "uid": 501})
	w.u.SetLimits(30*time.Second, 30*time.Second, 5*time.Millisecond, 20*time.Millisecond)
	return w
}

func configure(t *testing.T, u *launcherlaunchd.Unloader, table any) []plugin.Diagnostic {
	t.Helper()
	raw, err := json.Marshal(table)
	if err != nil {
		t.Fatal(err)
	}
	d, err := u.Configure(t.Context(), plugin.ConfigureRequest{Config: raw})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (w world) state(t *testing.T) state {
	t.Helper()
	var st state
	if err := readJSON(filepath.Join(w.dir, "state"), &st); err != nil {
		t.Fatal(err)
	}
	return st
}

func TestLoadedServiceIsNamedWithAllThatIsKnown(t *testing.T) {
	w := newWorld(t, script{}, true)
	got, err := w.u.Inspect(t.Context(), gateway)
	if err != nil || len(got) != 1 {
		t.Fatalf("services = %+v, %v", got, err)
	}
	s := got[0]
	if s.ID != id || s.Manager != "launchd" || !s.Loaded || s.PID != 4242 || !s.KeepsAlive ||
		s.Path != "/Users/u/Library/LaunchAgents/ai.openclaw.gateway.plist" ||
		!strings.Contains(s.Reason, "4242") || !strings.Contains(s.DisableCommand, "launchctl disable "+id) {
		t.Errorf("service = %+v", s)
	}
	if strings.Contains(fmt.Sprintf("%+v", s), "canary") {
		t.Error("the service's environment leaks")
	}
}

func TestWhatIsNotLoadedDoesNotFight(t *testing.T) {
	for name, w := range map[string]func() world{
		"not loaded": func() world { return newWorld(t, script{}, false) },
		"no domain":  func() world { return newWorld(t, script{PrintFail: "no domain"}, true) },
	} {
		if got, err := w().u.Inspect(t.Context(), gateway); err != nil || len(got) != 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	w := newWorld(t, script{}, true)
	other := gateway
	other.Port, other.StateDir = 19000, "/elsewhere"
	if got, err := w.u.Inspect(t.Context(), other); err != nil || len(got) != 0 {
		t.Errorf("another gateway: %+v, %v", got, err)
	}
	other.StateDir = gateway.StateDir // the same state, so they fight
	if got, err := w.u.Inspect(t.Context(), other); err != nil || len(got) != 1 {
		t.Errorf("another port on the same state: %+v, %v", got, err)
	}
}

func TestEveryConfiguredLabelIsLookedUp(t *testing.T) {
	w := newWorld(t, script{}, false)
	self, _ := os.Executable()
	configure(t, w.u, map[string]any{"launchctl": self, "uid": 501, "labels": []string{"a.b", "c.d"}})
	if _, err := w.u.Inspect(t.Context(), gateway); err != nil {
		t.Fatal(err)
	}
	if got := w.state(t).Calls; !slices.Equal(got, []string{"print gui/501/a.b", "print gui/501/c.d"}) {
		t.Errorf("calls = %q", got)
	}
}

func TestUnloadWaitsUntilTheServiceIsGone(t *testing.T) {
	for _, how := range []string{"", "busy", "eio"} { // releases call it differently
		w := newWorld(t, script{Bootout: how, GoneAfter: 4}, true)
		got, err := w.u.Unload(t.Context(), gateway, id)
		if err != nil || !got.Changed || len(got.Undo) == 0 {
			t.Fatalf("%q: %+v, %v", how, got, err)
		}
		st := w.state(t)
		if st.Loaded || st.Dying != 0 || st.Calls[1] != "bootout "+id {
			t.Errorf("%q: state = %+v", how, st)
		}
		again, err := w.u.Unload(t.Context(), gateway, id)
		if err != nil || again.Changed {
			t.Errorf("%q: again: %+v, %v", how, again, err)
		}
	}
}

func TestUnloadThatFailsSaysWhy(t *testing.T) {
	for name, row := range map[string]struct {
		script script
		id     string
		want   fault.Code
	}{
		"not permitted":          {script{Bootout: "denied"}, id, fault.PermissionDenied},
		"stays":                  {script{Bootout: "ignored"}, id, fault.DeadlineExceeded},
		"dies for ever":          {script{GoneAfter: 1 << 30}, id, fault.DeadlineExceeded},
		"comes back":             {script{Bootout: "comes back", GoneAfter: 1}, id, fault.DeadlineExceeded},
		"is another's":           {script{}, "gui/501/com.apple.Finder", fault.NotFound},
		"is in another domain":   {script{}, "system/ai.openclaw.gateway", fault.NotFound},
		"is a whole domain":      {script{}, "gui/501/", fault.NotFound},
		"cannot be looked up":    {script{PrintFail: "denied"}, id, fault.PermissionDenied},
		"is answered by garbage": {script{PrintFail: "garbage"}, id, fault.Internal},
		"is answered by a flood": {script{PrintFail: "flood"}, id, fault.Internal},
		"is answered by a crash": {script{PrintFail: "crash"}, id, fault.Internal},
	} {
		w := newWorld(t, row.script, true)
		if row.want == fault.DeadlineExceeded {
			w.u.SetLimits(30*time.Second, 300*time.Millisecond, 5*time.Millisecond, 30*time.Second)
		}
		_, err := w.u.Unload(t.Context(), gateway, row.id)
		if fault.CodeOf(err) != row.want {
			t.Errorf("%s: error = %v (%s), want %s", name, err, fault.CodeOf(err), row.want)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error shows the service's environment: %v", name, err)
		}
		calls := w.state(t).Calls
		if row.want == fault.NotFound && len(calls) > 0 {
			t.Errorf("%s: launchctl was called: %q", name, calls)
		}
	}
}

func TestProgramThatHangsIsEnded(t *testing.T) {
	for name, sc := range map[string]script{"print": {PrintFail: "hang"}, "bootout": {Bootout: "hang"}} {
		w := newWorld(t, sc, true)
		w.u.SetLimits(2*time.Second, 2*time.Second, 5*time.Millisecond, 20*time.Millisecond)
		began := time.Now()
		_, err := w.u.Unload(t.Context(), gateway, id)
		if !errors.Is(err, fault.ErrDeadlineExceeded) || time.Since(began) > 25*time.Second {
			t.Errorf("%s: error = %v after %v", name, err, time.Since(began))
		}
	}
	w := newWorld(t, script{PrintFail: "hang"}, true)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := w.u.Inspect(ctx, gateway); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled: %v", err)
	}
}

func (w world) record(t *testing.T, change map[string]any) []byte {
	t.Helper()
	plist := filepath.Join(w.dir, "x.plist")
	if err := os.WriteFile(plist, []byte("<plist/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := map[string]any{
		"version": 1, "manager": "launchd", "label": "ai.openclaw.gateway", "domain": "gui/501",
		"plist": plist,
	}
	maps.Copy(r, change)
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestRestoreLoadsTheServiceFromItsFile(t *testing.T) {
	w := newWorld(t, script{}, false)
	undo := w.record(t, nil)
	if changed, err := w.u.Restore(t.Context(), undo); err != nil || !changed {
		t.Fatalf("changed = %v, %v", changed, err)
	}
	if st := w.state(t); !st.Loaded || st.Calls[1] != "bootstrap gui/501 "+filepath.Join(w.dir, "x.plist") {
		t.Errorf("state = %+v", st)
	}
	if changed, err := w.u.Restore(t.Context(), undo); err != nil || changed {
		t.Errorf("again: changed = %v, %v", changed, err)
	}
}

func TestUndoRecordOfUnloadIsWhatRestoreTakes(t *testing.T) {
	w := newWorld(t, script{}, true)
	got, err := w.u.Unload(t.Context(), gateway, id)
	if err != nil {
		t.Fatal(err)
	}
	// The plist of the golden text does not exist here: the record is understood, its file is missed.
	if _, err := w.u.Restore(t.Context(), got.Undo); !errors.Is(err, fault.ErrNotFound) ||
		!strings.Contains(err.Error(), "ai.openclaw.gateway.plist") {
		t.Errorf("error = %v", err)
	}
}

func TestRestoreRefusesWhatIsNotItsRecord(t *testing.T) {
	w := newWorld(t, script{}, false)
	for name, undo := range map[string][]byte{
		"nothing": nil, "garbage": []byte("\x00{"), "another version": w.record(t, map[string]any{"version": 2}),
		"another manager": w.record(t, map[string]any{"manager": "systemd"}),
		"an option":       w.record(t, map[string]any{"label": "-w"}),
		"another domain":  w.record(t, map[string]any{"domain": "system"}),
		"a relative file": w.record(t, map[string]any{"plist": "x.plist"}),
	} {
		if _, err := w.u.Restore(t.Context(), undo); !errors.Is(err, fault.ErrInvalidArgument) {
			t.Errorf("%s: error = %v", name, err)
		}
	}
	if got := w.state(t).Calls; len(got) != 0 {
		t.Errorf("launchctl was called: %q", got)
	}
}

func TestRestoreThatFailsSaysWhy(t *testing.T) {
	for how, want := range map[string]fault.Code{
		"eio": fault.Internal, "denied": fault.PermissionDenied,
		"ignored": fault.DeadlineExceeded,
	} {
		w := newWorld(t, script{Bootstrap: how}, false)
		w.u.SetLimits(30*time.Second, 3*time.Second, 5*time.Millisecond, 20*time.Millisecond)
		if _, err := w.u.Restore(t.Context(), w.record(t, nil)); fault.CodeOf(err) != want {
			t.Errorf("%s: error = %v, want %s", how, err, want)
		}
	}
}

func TestElsewhereItIsUnsupported(t *testing.T) {
	if runtime.GOOS == "darwin" {
		t.Skip("there is a launchd here")
	}
	u := launcherlaunchd.New()
	_, inspect := u.Inspect(t.Context(), gateway)
	_, unload := u.Unload(t.Context(), gateway, id)
	_, restore := u.Restore(t.Context(), nil)
	for _, err := range []error{inspect, unload, restore} {
		if !errors.Is(err, fault.ErrUnsupported) || fault.HintOf(err) == "" {
			t.Errorf("error = %v", err)
		}
	}
}

func TestFaultsOfTheTableAreDiagnostics(t *testing.T) {
	for want, table := range map[string]any{
		"launchctl": map[string]any{"launchctl": "launchctl"},
		"labels[1]": map[string]any{"labels": []string{"a.b", "-w"}},
		"uid":       map[string]any{"uid": -1}, "lables": map[string]any{"lables": []string{"a"}},
	} {
		got := configure(t, launcherlaunchd.New(), table)
		if len(got) != 1 || got[0].Path != want || got[0].Severity != plugin.SeverityError {
			t.Errorf("diagnostics of %v = %+v", table, got)
		}
	}
}

func TestPrintIsReadAtItsFirstLevelOnly(t *testing.T) {
	for file, want := range map[string]launcherlaunchd.Facts{
		"print-running.txt": {
			Loaded: true, KeepAlive: true, Path: "/Users/u/Library/LaunchAgents/ai.openclaw.gateway.plist",
			State: "running", StateDir: "/Users/u/.openclaw",
			PID: 4242, Port: 18789,
		},
		"print-not-running.txt": {
			Loaded: true, Path: "/Users/u/Library/LaunchAgents/ai.openclaw.gateway.plist", State: "not running",
			StateDir: "/Users/u/.openclaw", Port: 18789,
		},
	} {
		text, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := launcherlaunchd.Parse(string(text), id); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", file, got, err, want)
		}
	}
}

func FuzzPrint(f *testing.F) {
	for _, file := range []string{"print-running.txt", "print-not-running.txt", "print-sigtermed.txt"} {
		text, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := launcherlaunchd.Parse(text, id)
		if got.PID < 0 || got.Port < 0 || got.Port > 65535 || err == nil != got.Loaded {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
