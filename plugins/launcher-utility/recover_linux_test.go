package launcherutility_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/process"
)

// prepared is a launch as a host makes it: its record is durable before Launch.
func (p place) prepared(t *testing.T, script string) launcher.LaunchRequest {
	t.Helper()
	req := p.request(uuid.NewString(), script)
	if err := os.MkdirAll(filepath.Join(p.run(), req.LaunchID), 0o700); err != nil {
		t.Fatal(err)
	}
	p.spoil(t, req.LaunchID, "launch.json",
		`{"version":1,"launchId":"`+req.LaunchID+`","gateway":"main","createdAt":"2026-11-23T12:00:00Z"}`)
	return req
}

// spoil writes text over a file of a bundle; "-" removes it.
func (p place) spoil(t *testing.T, id, name, text string) {
	t.Helper()
	path := filepath.Join(p.run(), id, name)
	err := os.WriteFile(path, []byte(text), 0o600)
	if text == "-" {
		err = os.Remove(path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// spoilt are ways in which a file may be lost.
func spoilt(id string) map[string]string {
	return map[string]string{
		"truncated": `{"v":1,"launch_id":"` + id, "empty": "", "zeros": strings.Repeat("\x00", 4096), "not ours": "hello",
		"another's": `{"v":1,"launch_id":"other","boot_id":"b","shim":{"pid":1,"start_time":"1"}}`, "gone": "-",
	}
}

func aside(t *testing.T, p place, id, name string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.run(), id, name+".broken-*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func TestALivingGatewayIsNotLostWithItsFiles(t *testing.T) {
	for _, name := range []string{"truncated", "empty", "zeros", "not ours", "another's", "gone"} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			req := p.prepared(t, `i=0; while [ ! -e go ]; do i=$((i+1)); echo line $i; sleep 0.02; done; exit 6`)
			old := p.open(t)
			i := launch(t, old, req)
			old.Close()
			for _, file := range []string{"state.json", "spec.json"} {
				p.spoil(t, req.LaunchID, file, spoilt(req.LaunchID)[name])
			}
			if name != "gone" {
				p.spoil(t, req.LaunchID, "exit", "{")
			}

			l := p.open(t)
			if got := only(t, l); got.Phase != launcher.PhaseRunning || got.PID != i.PID || got.StartTime != i.StartTime ||
				got.ShimPID != i.ShimPID || got.Labels["epoch"] != "3" {
				t.Errorf("List = %+v, want %+v", got, i)
			}
			if got, err := l.Recover(deadline(t), req.LaunchID); err != nil || got.PID != i.PID || got.Gateway != "main" {
				t.Errorf("Recover = %+v, %v", got, err)
			}
			if again, err := l.Launch(deadline(t), req); err != nil || !again.AlreadyLaunched || again.Instance.PID != i.PID {
				t.Errorf("Launch = %+v, %v, want the one that lives", again, err)
			}
			if n := aside(t, p, req.LaunchID, "state.json"); n != 1 && name != "gone" {
				t.Errorf("%d files were set aside", n)
			}
			if b, err := shim.OpenBundle(filepath.Join(p.run(), req.LaunchID)); err != nil || b.Spec == nil && name != "gone" {
				t.Errorf("bundle = %+v, %v, want it recovered", b, err)
			}
			if err := os.WriteFile(filepath.Join(p.dir, "go"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			out := follow(t, l, req.LaunchID, 0)
			if out.end.Exit.Code != 6 || out.lines[0].Text != "line 1" || len(out.gaps) != 0 {
				t.Errorf("end %+v, first line %q", out.end, out.lines[0].Text)
			}
			if err := l.Release(deadline(t), req.LaunchID); err != nil {
				t.Errorf("Release: %v", err)
			}
		})
	}
}

func TestAnUnwatchedGatewayIsFoundByWhatItCarries(t *testing.T) {
	for _, name := range []string{"truncated", "another's", "gone"} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			req := p.prepared(t, `trap '' PIPE; trap 'exit 0' TERM; echo ready; sleep 600 & wait`)
			old := p.open(t)
			i := launch(t, old, req)
			waitLine(t, old, req.LaunchID, "ready")
			killShim(t, i)
			old.Close()
			for _, file := range []string{"state.json", "spec.json"} {
				p.spoil(t, req.LaunchID, file, spoilt(req.LaunchID)[name])
			}

			l := p.open(t)
			if got := only(t, l); got.Phase != launcher.PhaseUnwatched || got.PID != i.PID || got.Gateway != "main" ||
				got.Detail == "" {
				t.Errorf("List = %+v, want pid %d of main, unwatched", got, i.PID)
			}
			if got, err := l.Recover(deadline(t), req.LaunchID); err != nil || got.Phase != launcher.PhaseUnwatched ||
				got.PID != i.PID {
				t.Errorf("Recover = %+v, %v", got, err)
			}
			stopped, err := l.Stop(deadline(t), req.LaunchID, patience)
			if err != nil || stopped.Killed || stopped.Exit.Known || identity(i).Alive() {
				t.Errorf("Stop = %+v, %v, alive %t; want it ended gracefully", stopped, err, identity(i).Alive())
			}
			if out := follow(t, l, req.LaunchID, 0); !slices.Equal(out.texts(), []string{"ready"}) {
				t.Errorf("output = %q", out.texts())
			}
			if err := l.Release(deadline(t), req.LaunchID); err != nil {
				t.Errorf("Release: %v", err)
			}
		})
	}
}

func killShim(t *testing.T, i launcher.Instance) {
	t.Helper()
	id, err := process.Identify(i.ShimPID)
	if err != nil {
		t.Fatal(err)
	}
	if err := id.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := id.WaitGone(deadline(t)); err != nil {
		t.Fatal(err)
	}
}

// A shim that was stopped holds its lock and its socket, and does not answer.
func TestAMuteShimIsFoundByWhatItsGatewayCarries(t *testing.T) {
	p := newPlace(t)
	req := p.prepared(t, "exec sleep 600")
	old := p.open(t)
	i := launch(t, old, req)
	old.Close()
	shimID, err := process.Identify(i.ShimPID)
	if err != nil {
		t.Fatal(err)
	}
	if err := shimID.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.spoil(t, req.LaunchID, "state.json", "")
	l := p.open(t)
	if got := only(t, l); got.Phase != launcher.PhaseRunning || got.PID != i.PID || got.ShimPID != i.ShimPID {
		t.Errorf("List = %+v, want %+v", got, i)
	}
	if err := shimID.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Stop(deadline(t), req.LaunchID, 0); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

func TestWhatCannotBeReadAndDoesNotLiveIsToldAndSetAside(t *testing.T) {
	p := newPlace(t)
	req := p.prepared(t, "echo last words; exit 1")
	old := p.open(t)
	i := launch(t, old, req)
	_ = follow(t, old, req.LaunchID, 0)
	killShim(t, i)
	old.Close()
	p.spoil(t, req.LaunchID, "state.json", "{")

	l := p.open(t)
	for range 2 { // later callers of that day are told, too
		listing, err := l.List(deadline(t), "main")
		if err != nil || len(listing.Instances) != 0 || len(listing.Broken) != 1 ||
			!strings.Contains(listing.Broken[0].Reason, "state.json") {
			t.Fatalf("List = %+v, %v", listing, err)
		}
		if _, err := os.Stat(filepath.Join(listing.Broken[0].Path, "output-0.log")); err != nil {
			t.Errorf("what was set aside is not whole: %v", err)
		}
	}
	if _, err := l.Recover(deadline(t), req.LaunchID); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("Recover = %v, want not found", err)
	}
	if g, err := process.FindGroup(shim.GroupName(req.LaunchID)); err == nil {
		t.Errorf("its control group is left: %+v", g)
	}
	if err := l.Release(deadline(t), req.LaunchID); err != nil {
		t.Errorf("Release = %v", err)
	}
	dirs, err := os.ReadDir(filepath.Join(p.run(), ".broken"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("%v, %v", dirs, err)
	}
	aged := filepath.Join(p.run(), ".broken", req.LaunchID+"-1700000000")
	if err := os.Rename(filepath.Join(p.run(), ".broken", dirs[0].Name()), aged); err != nil {
		t.Fatal(err)
	}
	if listing, err := l.List(deadline(t), "main"); err != nil || len(listing.Broken) != 0 {
		t.Errorf("List of an old one = %+v, %v", listing, err)
	}
	if _, err := os.Stat(aged); err != nil {
		t.Errorf("it was removed: %v", err)
	}
}

// Carrying an id is not enough: a process without the shim's mark, or older than the bundle, may be anybody's.
func TestAProcessThatIsNotProvedIsNeitherTakenNorEnded(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	for name, tc := range map[string]struct {
		id, mark string
		age      time.Duration
	}{
		"without a mark":        {id: uuid.NewString()},
		"with another's mark":   {id: uuid.NewString(), mark: "other:5:5"},
		"older than the bundle": {id: uuid.NewString(), mark: "%:5:5", age: time.Hour},
		"of no unique id":       {id: "main", mark: "%:5:5"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("sleep", "600")
			cmd.Env = []string{shim.EnvLaunchID + "=" + tc.id, shim.EnvMark + "=" + strings.Replace(tc.mark, "%", tc.id, 1)}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			})
			stranger, err := process.Identify(cmd.Process.Pid)
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(p.run(), tc.id)
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			state := filepath.Join(dir, "state.json")
			if err := os.WriteFile(state, []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
			if later := time.Now().Add(tc.age); tc.age != 0 {
				if err := os.Chtimes(state, later, later); err != nil {
					t.Fatal(err)
				}
			}
			listing, err := l.List(deadline(t), "")
			if err != nil || len(listing.Instances) != 0 || len(listing.Broken) != 1 || listing.Broken[0].Path != dir ||
				!strings.Contains(listing.Broken[0].Reason, "cannot be proved") {
				t.Errorf("List = %+v, %v, want it left where it is", listing, err)
			}
			if _, err := l.Stop(deadline(t), tc.id, 0); !errors.Is(err, fault.ErrInternal) {
				t.Errorf("Stop = %v, want a refusal", err)
			}
			if !stranger.Alive() {
				t.Error("it was ended")
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		})
	}
}
