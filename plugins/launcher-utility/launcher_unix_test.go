//go:build unix

package launcherutility_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehost/gatehost/internal/shimreplay"
	launcherutility "github.com/gatehost/gatehost/plugins/launcher-utility"
	"github.com/gatehost/gatehost/shared/conformance"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/process"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

var shimPath string //nolint:gochecknoglobals // set once by TestMain

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	conformance.ChildMain()
	if len(os.Args) > 1 && os.Args[1] == shimreplay.Role {
		return shimreplay.Main()
	}
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	shimPath = filepath.Join(dir, "gatehost-shim")
	if out, err := exec.Command("go", "build", "-o", shimPath,
		"github.com/gatehost/gatehost/cmd/gatehost-shim").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "cannot build shim: %v: %s\n", err, out)
		return 1
	}
	return m.Run()
}

// place is a run directory that several launchers, one after the other, work in.
type place struct{ dir string }

func newPlace(t *testing.T) place {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	p := place{dir}
	t.Cleanup(func() {
		for _, run := range []string{p.run(), filepath.Join(p.run(), ".exec")} {
			p.endAll(t, run)
		}
		os.RemoveAll(dir)
	})
	return p
}

// endAll ends what a failed test left: only processes that the bundles of this place name.
func (p place) endAll(t *testing.T, run string) {
	t.Helper()
	bundles, _ := shim.List(run)
	for _, b := range bundles {
		if b.State == nil {
			continue
		}
		if b.State.Shim.Alive() {
			_ = b.State.Shim.Signal(syscall.SIGKILL)
			_ = b.State.Shim.WaitGone(deadline(t))
		}
		if b, err := shim.OpenBundle(b.Dir); err == nil {
			if _, err := b.StopUnwatched(context.Background(), 0); err != nil {
				t.Errorf("clean up: %v", err)
			}
		}
	}
}

func (p place) run() string { return filepath.Join(p.dir, "run") }

// open makes a configured launcher, as a new plugin process would have it.
func (p place) open(t *testing.T) *launcherutility.Launcher {
	t.Helper()
	l := launcherutility.New()
	config, err := json.Marshal(map[string]string{"shim": shimPath})
	if err != nil {
		t.Fatal(err)
	}
	diagnostics, err := l.Configure(t.Context(), plugin.ConfigureRequest{
		Config: config, Directories: plugin.Directories{Data: p.dir, Run: p.run(), Runtime: filepath.Join(p.dir, "s")},
	})
	if err != nil || len(diagnostics) > 0 {
		t.Fatalf("Configure = %v, %v", diagnostics, err)
	}
	t.Cleanup(l.Close)
	return l
}

func (p place) process(script string) plugin.ProcessSpec {
	return plugin.ProcessSpec{
		Argv: []string{"sh", "-c", script}, Cwd: p.dir,
		Env: []plugin.EnvVar{
			{Name: "PATH", Value: "/usr/local/bin:/usr/bin:/bin"},
			{Name: "TOKEN", Value: "s3cret", Secret: true},
		},
	}
}

func (p place) request(id, script string) launcher.LaunchRequest {
	return launcher.LaunchRequest{
		LaunchID: id, Gateway: plugin.GatewayFacts{Name: "main"}, Process: p.process(script), Grace: patience,
		Labels: map[string]string{"epoch": "3"},
	}
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func launch(t *testing.T, l launcher.Launcher, req launcher.LaunchRequest) launcher.Instance {
	t.Helper()
	got, err := l.Launch(deadline(t), req)
	if err != nil {
		t.Fatalf("Launch: %v", err)
	}
	return got.Instance
}

func identity(i launcher.Instance) process.Identity {
	return process.Identity{PID: i.PID, StartTime: i.StartTime}
}

// seen is what an Output gave.
type seen struct {
	lines []plugin.Line
	gaps  []launcher.Gap
	beats int
	end   *launcher.End
}

func (s *seen) take(item launcher.OutputItem) error {
	switch item := item.(type) {
	case *launcher.LineBatch:
		s.lines = append(s.lines, item.Lines...)
	case *launcher.Gap:
		s.gaps = append(s.gaps, *item)
	case *launcher.Heartbeat:
		s.beats++
	case *launcher.End:
		s.end = item
	}
	return nil
}

func (s *seen) texts() []string {
	texts := make([]string, len(s.lines))
	for i, l := range s.lines {
		texts[i] = l.Text
	}
	return texts
}

var errSeen = errors.New("seen")

// waitLine follows the output until a line comes.
func waitLine(t *testing.T, l launcher.Launcher, id, text string) {
	t.Helper()
	var s seen
	err := l.Output(deadline(t), launcher.OutputRequest{LaunchID: id, Follow: true},
		func(item launcher.OutputItem) error {
			_ = s.take(item)
			if slices.Contains(s.texts(), text) {
				return errSeen
			}
			return nil
		})
	if !errors.Is(err, errSeen) {
		t.Fatalf("line %q did not come: %v, lines %q", text, err, s.texts())
	}
}

func follow(t *testing.T, l launcher.Launcher, id string, cursor uint64) seen {
	t.Helper()
	var s seen
	if err := l.Output(deadline(t), launcher.OutputRequest{LaunchID: id, Cursor: cursor, Follow: true},
		s.take); err != nil {
		t.Fatalf("Output: %v", err)
	}
	return s
}

func only(t *testing.T, l launcher.Launcher) launcher.Instance {
	t.Helper()
	listing, err := l.List(deadline(t), "main")
	if err != nil || len(listing.Instances) != 1 || len(listing.Broken) != 0 {
		t.Fatalf("List = %+v, %v, want one instance and nothing broken", listing, err)
	}
	return listing.Instances[0]
}

func TestAWholeLife(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	req := p.request("life",
		`trap 'echo bye; exit 7' TERM; echo "hello $TOKEN" | tr -d s; echo oops >&2; while :; do sleep 0.05; done`)
	i := launch(t, l, req)
	if i.Phase != launcher.PhaseRunning || i.Gateway != "main" || i.Labels["epoch"] != "3" || len(i.Labels) != 1 ||
		i.PID == 0 || i.ShimPID == 0 || i.StartTime == "" || i.BootID == "" || i.StartedAt.IsZero() || i.Exit != nil {
		t.Errorf("instance = %+v", i)
	}
	waitLine(t, l, "life", "hello 3cret")
	again, err := l.Launch(deadline(t), req)
	if err != nil || !again.AlreadyLaunched || again.Instance.PID != i.PID {
		t.Errorf("second Launch = %+v, %v", again, err)
	}
	listing, err := l.List(deadline(t), "main")
	if err != nil || len(listing.Instances) != 1 || listing.Instances[0].PID != i.PID || !listing.Instances[0].Live() {
		t.Errorf("List = %+v, %v", listing, err)
	}
	if other, err := l.List(deadline(t), "other"); err != nil || len(other.Instances) != 0 {
		t.Errorf("List of another gateway = %+v, %v", other, err)
	}
	inspected, err := l.Inspect(deadline(t), "life")
	if err != nil || inspected.Processes < 1 || inspected.RSSBytes == 0 || inspected.Instance.OutputEnd == 0 {
		t.Errorf("Inspect = %+v, %v", inspected, err)
	}
	if err := l.Release(deadline(t), "life"); !errors.Is(err, fault.ErrFailedPrecondition) {
		t.Errorf("Release of a running gateway = %v", err)
	}
	stopped, err := l.Stop(deadline(t), "life", patience)
	if err != nil || stopped.Killed || stopped.Exit.Code != 7 || !stopped.Exit.Known || !stopped.Exit.Durable {
		t.Errorf("Stop = %+v, %v", stopped, err)
	}
	if twice, err := l.Stop(deadline(t), "life", 0); err != nil || twice != stopped {
		t.Errorf("second Stop = %+v, %v, want %+v", twice, err, stopped)
	}
	out := follow(t, l, "life", 0)
	if out.end == nil || out.end.Exit.Code != 7 || out.end.Truncated || !slices.Contains(out.texts(), "bye") {
		t.Errorf("output %q, end %+v", out.texts(), out.end)
	}
	for _, line := range out.lines {
		if want := map[string]plugin.Stream{"oops": plugin.Stderr, "bye": plugin.Stdout}[line.Text]; want != 0 &&
			line.Stream != want {
			t.Errorf("line %+v is of the wrong stream", line)
		}
	}
	if err := l.Signal(deadline(t), "life", "SIGTERM"); !errors.Is(err, fault.ErrFailedPrecondition) {
		t.Errorf("Signal after the end = %v", err)
	}
	if got, err := l.Recover(deadline(t), "life"); err != nil || got.Phase != launcher.PhaseEnded || got.Exit == nil ||
		got.Exit.Code != 7 {
		t.Errorf("Recover after the end = %+v, %v", got, err)
	}
	for range 2 { // what is unknown is fine
		if err := l.Release(deadline(t), "life"); err != nil {
			t.Errorf("Release: %v", err)
		}
	}
	if _, err := os.Lstat(filepath.Join(p.run(), "life")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("bundle after Release: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(p.dir, "s")); err != nil || len(left) != 0 {
		t.Errorf("sockets after Release: %v, %v", left, err)
	}
	if _, err := l.Recover(deadline(t), "life"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("Recover after Release = %v", err)
	}
}

func TestANewPluginProcessTakesUpWhereTheOldOneWas(t *testing.T) {
	p := newPlace(t)
	old := p.open(t)
	i := launch(t, old,
		p.request("handover", `i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo line $i; sleep 0.005; done; exit 3`))
	var first seen
	err := old.Output(deadline(t), launcher.OutputRequest{LaunchID: "handover", Follow: true},
		func(item launcher.OutputItem) error {
			if len(first.lines) >= 20 {
				return errSeen // not taken: it must come again
			}
			return first.take(item)
		})
	if !errors.Is(err, errSeen) {
		t.Fatal(err)
	}
	old.Close()

	l := p.open(t)
	if got, err := l.Recover(deadline(t), "handover"); err != nil || got.PID != i.PID || got.StartTime != i.StartTime {
		t.Fatalf("Recover = %+v, %v", got, err)
	}
	rest := follow(t, l, "handover", first.lines[len(first.lines)-1].Cursor)
	texts := append(first.texts(), rest.texts()...)
	if len(texts) != 200 || len(rest.gaps) != 0 {
		t.Fatalf("%d lines, gaps %v, want 200 without a gap", len(texts), rest.gaps)
	}
	for n, text := range texts {
		if text != fmt.Sprintf("line %d", n+1) {
			t.Fatalf("line %d = %q", n+1, text)
		}
	}
	if rest.end.Exit.Code != 3 || rest.end.EndCursor < rest.lines[len(rest.lines)-1].Cursor {
		t.Errorf("end = %+v", rest.end)
	}
}

func TestOutputOfAReleasedShimComesFromDisk(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	i := launch(t, l, p.request("disk", `echo one; printf two; exit 4`))
	live := follow(t, l, "disk", 0)
	shimID, err := process.Identify(i.ShimPID)
	if err != nil {
		t.Fatal(err)
	}
	if err := shimID.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := shimID.WaitGone(deadline(t)); err != nil {
		t.Fatal(err)
	}
	offline := follow(t, l, "disk", 0)
	if !slices.Equal(offline.texts(), []string{"one", "two"}) || !offline.lines[1].Partial ||
		offline.end.Exit.Code != 4 ||
		offline.end.EndCursor != live.end.EndCursor {
		t.Errorf("output from disk = %+v, end %+v, live end %+v", offline.lines, offline.end, live.end)
	}
	if rest := follow(t, l, "disk", offline.lines[0].Cursor); !slices.Equal(rest.texts(), []string{"two"}) {
		t.Errorf("rest = %q", rest.texts())
	}
	if rest := follow(t, l, "disk", offline.end.EndCursor); len(rest.lines) != 0 || rest.end == nil {
		t.Errorf("after the end = %+v", rest)
	}
}

func TestAnUnwatchedGatewayIsToldAndStopped(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	i := launch(t, l, p.request("unwatched", `trap '' PIPE; echo ready; sleep 600 & wait`))
	waitLine(t, l, "unwatched", "ready")
	following := make(chan error, 1)
	go func() {
		following <- l.Output(deadline(t), launcher.OutputRequest{LaunchID: "unwatched", Follow: true},
			func(launcher.OutputItem) error { return nil })
	}()
	shimID, err := process.Identify(i.ShimPID)
	if err != nil {
		t.Fatal(err)
	}
	if err := shimID.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-following; !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("Output of an unwatched gateway = %v, want unavailable", err)
	}
	got, err := l.Recover(deadline(t), "unwatched")
	if err != nil || got.Phase != launcher.PhaseUnwatched || !got.Live() || got.ShimPID != 0 || got.Detail == "" ||
		got.PID != i.PID {
		t.Errorf("Recover = %+v, %v", got, err)
	}
	if err := l.Signal(deadline(t), "unwatched", "CONT"); err != nil {
		t.Errorf("Signal: %v", err)
	}
	stopped, err := l.Stop(deadline(t), "unwatched", patience)
	if err != nil || stopped.Exit.Known || identity(i).Alive() {
		t.Errorf("Stop = %+v, %v, alive %t", stopped, err, identity(i).Alive())
	}
	if end := follow(t, l, "unwatched", 0).end; end == nil || end.Exit.Known || !end.Truncated {
		t.Errorf("end = %+v, want one that was not seen", end)
	}
	if err := l.Release(deadline(t), "unwatched"); err != nil {
		t.Errorf("Release: %v", err)
	}
}

func TestAFloodComesInBoundedBatchesWithItsGaps(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	req := p.request("flood",
		`i=0; while [ $i -lt 40 ]; do i=$((i+1)); yes abcdefghijklmnop | head -n 2000; done; echo last`)
	req.OutputMaxBytes = 1 // raised to the least
	launch(t, l, req)
	var s seen
	largest := 0
	if err := l.Output(deadline(t), launcher.OutputRequest{LaunchID: "flood", Follow: true},
		func(item launcher.OutputItem) error {
			if b, ok := item.(*launcher.LineBatch); ok {
				largest = max(largest, len(b.Lines))
			}
			return s.take(item)
		}); err != nil {
		t.Fatal(err)
	}
	if largest > 256 || largest < 2 {
		t.Errorf("largest batch = %d lines, want 2 to 256", largest)
	}
	last := uint64(0)
	for _, line := range s.lines {
		if line.Cursor <= last {
			t.Fatalf("cursor %d after %d", line.Cursor, last)
		}
		last = line.Cursor
	}
	if got := s.texts(); got[len(got)-1] != "last" {
		t.Errorf("last line = %q", got[len(got)-1])
	}
	if want := uint64(40*2000*17 + 5); s.end.EndCursor != want {
		t.Errorf("end = %d, want %d", s.end.EndCursor, want)
	}
	late := follow(t, l, "flood", 0)
	if len(late.gaps) != 1 || late.gaps[0].From != 0 || late.gaps[0].Bytes == 0 {
		t.Errorf("gaps of a late reader = %+v, want one from 0", late.gaps)
	}
}

func TestOutputWithoutFollowHasNoEndWhileItRuns(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	launch(t, l, p.request("peek", "echo here; exec sleep 600"))
	waitLine(t, l, "peek", "here")
	var s seen
	if err := l.Output(deadline(t), launcher.OutputRequest{LaunchID: "peek"}, s.take); err != nil || s.end != nil ||
		len(s.lines) != 1 {
		t.Errorf("Output = %v, %+v", err, s)
	}
}

func TestOutputBeatsAndEndsWithItsContext(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	launch(t, l, p.request("beat", "exec sleep 600"))
	ctx, cancel := context.WithCancel(deadline(t))
	defer cancel()
	var s seen
	err := l.Output(ctx, launcher.OutputRequest{LaunchID: "beat", Follow: true}, func(item launcher.OutputItem) error {
		_ = s.take(item)
		if s.beats > 0 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, fault.ErrCancelled) || s.beats == 0 {
		t.Errorf("Output = %v after %d heartbeats, want cancelled after one", err, s.beats)
	}
}

func TestErrorsHaveTheirCodes(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	bad := func(id string, change func(*launcher.LaunchRequest)) error {
		req := p.request(id, "exec sleep 600")
		change(&req)
		_, err := l.Launch(deadline(t), req)
		return err
	}
	launch(t, l, p.request("taken", "exec sleep 600"))
	for _, tc := range []struct {
		name string
		err  error
		want *fault.Error
		text string
	}{
		{
			"no program", bad("a", func(r *launcher.LaunchRequest) { r.Process.Argv = []string{"no-such"} }),
			fault.ErrNotFound, `cannot launch gateway: exec "no-such": not found`,
		},
		{
			"not executable", bad("b", func(r *launcher.LaunchRequest) { r.Process.Argv = []string{p.dir} }),
			fault.ErrPermissionDenied, "permission denied",
		},
		{"bad id", bad("../x", func(*launcher.LaunchRequest) {}), fault.ErrInvalidArgument, "launch id"},
		{
			"no argv", bad("c", func(r *launcher.LaunchRequest) { r.Process.Argv = nil }), fault.ErrInvalidArgument,
			"argv",
		},
		{
			"another user", bad("d", func(r *launcher.LaunchRequest) { r.Process.User = "another-user" }),
			fault.ErrUnsupported, "another-user",
		},
		{
			"too much output", bad("e", func(r *launcher.LaunchRequest) { r.OutputMaxBytes = 1 << 60 }),
			fault.ErrInvalidArgument, "output",
		},
		{
			"another spec", bad("taken", func(r *launcher.LaunchRequest) { r.Process.Argv = []string{"true"} }),
			fault.ErrAlreadyExists, "another spec",
		},
		{"unknown signal", l.Signal(deadline(t), "taken", "SIGNONE"), fault.ErrInvalidArgument, "SIGNONE"},
		{"signal to nothing", l.Signal(deadline(t), "none", "SIGTERM"), fault.ErrNotFound, "none"},
		{"id that is a path", l.Signal(deadline(t), "../run/taken", "SIGTERM"), fault.ErrNotFound, "no launch"},
	} {
		if !errors.Is(tc.err, tc.want) || !strings.Contains(tc.err.Error(), tc.text) {
			t.Errorf("%s: %v (%s), want %s with %q", tc.name, tc.err, fault.CodeOf(tc.err), tc.want.Code, tc.text)
		}
		if tc.err != nil && strings.Contains(tc.err.Error(), "s3cret") {
			t.Errorf("%s: the error tells a secret", tc.name)
		}
	}
	if _, err := l.Inspect(deadline(t), "none"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("Inspect = %v", err)
	}
	if _, err := l.Stop(deadline(t), "none", 0); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("Stop = %v", err)
	}
	if err := l.Output(deadline(t), launcher.OutputRequest{LaunchID: "none"}, (&seen{}).take); !errors.Is(err,
		fault.ErrNotFound) {
		t.Errorf("Output = %v", err)
	}
	got, err := l.Recover(deadline(t), "a") // it failed, and says why
	if err != nil || got.Phase != launcher.PhaseFailed || got.Live() || !strings.Contains(got.Detail, "not found") ||
		got.Exit == nil || got.Exit.Known {
		t.Errorf("Recover of a failed launch = %+v, %v", got, err)
	}
	if err := l.Release(deadline(t), "a"); err != nil {
		t.Errorf("Release of a failed launch = %v", err)
	}
}

func TestWhatCannotBeReadIsListedAsBrokenAndNotRemoved(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	dir := filepath.Join(p.run(), "broken")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.run(), "foreign"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// the host made it durable, Launch never came
	if err := os.Mkdir(filepath.Join(p.run(), "ahead"), 0o700); err != nil {
		t.Fatal(err)
	}
	listing, err := l.List(deadline(t), "")
	if err != nil || len(listing.Instances) != 0 || len(listing.Broken) != 2 ||
		listing.Broken[0].Path != filepath.Join(p.run(), "foreign") || listing.Broken[0].Reason == "" ||
		listing.Broken[1].Reason == "" {
		t.Fatalf("List = %+v, %v", listing, err)
	}
	if err := l.Release(deadline(t), "foreign"); !errors.Is(err, fault.ErrInternal) || fault.HintOf(err) == "" {
		t.Errorf("Release of what is none of ours = %v, want a refusal with a hint", err)
	}
	if err := l.Release(deadline(t), "broken"); err != nil {
		t.Errorf("Release of what was set aside = %v", err)
	}
	if _, err := os.Stat(filepath.Join(listing.Broken[1].Path, "state.json")); err != nil {
		t.Errorf("it was removed: %v", err)
	}
	if _, err := l.Recover(deadline(t), "ahead"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("Recover of what was never launched = %v", err)
	}
	if err := l.Release(deadline(t), "ahead"); err != nil {
		t.Errorf("Release of what was never launched = %v", err)
	}
}

func TestAHeldClientKeepsTheGatewayFromBeingAnOrphan(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	req := p.request("orphan", "exec sleep 600")
	grace := 300 * time.Millisecond
	req.OrphanGrace = &grace
	i := launch(t, l, req)
	time.Sleep(3 * grace) // nothing may happen
	if !identity(i).Alive() {
		t.Fatal("it was stopped although its launcher lives")
	}
	l.Close()
	if err := identity(i).WaitGone(deadline(t)); err != nil {
		t.Errorf("it lives without a launcher: %v", err)
	}
}

func TestAWrongTableIsADiagnostic(t *testing.T) {
	p := newPlace(t)
	for config, want := range map[string]string{
		`{"shim":"/nonexistent"}`: "no executable file at /nonexistent",
		`{"shim":7}`:              "type",
		`{"shin":"x"}`:            "not a key",
	} {
		l := launcherutility.New()
		got, err := l.Configure(t.Context(), plugin.ConfigureRequest{
			Config: json.RawMessage(config), Directories: plugin.Directories{Run: p.run(), Runtime: p.dir},
		})
		if err != nil || len(got) != 1 || got[0].Severity != plugin.SeverityError ||
			!strings.Contains(got[0].Message, want) {
			t.Errorf("%s: %+v, %v, want %q", config, got, err, want)
		}
		if _, err := l.Launch(t.Context(), p.request("x", "true")); !errors.Is(err, fault.ErrFailedPrecondition) {
			t.Errorf("Launch before Configure = %v", err)
		}
	}
}

// A shim that was stopped, or whose socket cannot be made again, keeps no gateway from its end.
func TestGatewayWhoseShimCannotBeReachedIsStoppedAndReleased(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	launch(t, l, p.request("frozen", "trap 'exit 3' TERM; while :; do sleep 0.05; done"))
	b, err := shim.OpenBundle(filepath.Join(p.run(), "frozen"))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.State.Shim.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Stop(deadline(t), "frozen", patience); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if b.State.Gateway.Alive() || b.State.Shim.Alive() {
		t.Errorf("gateway alive %t, shim alive %t after Stop", b.State.Gateway.Alive(), b.State.Shim.Alive())
	}
	if err := l.Release(deadline(t), "frozen"); err != nil {
		t.Errorf("Release: %v", err)
	}
}
