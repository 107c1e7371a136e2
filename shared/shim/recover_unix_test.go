//go:build linux || darwin

package shim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/process"
)

const uuid = "0190c3a2-7b1e-7c3d-9a4f-0123456789ab"

// spoil writes something that cannot be read into a file of a bundle.
func (p place) spoil(t *testing.T, id, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.bundle(id), name), []byte("{half"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// brokenOnes are the files of a bundle that were renamed out of the way.
func (p place) brokenOnes(t *testing.T, id string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(p.bundle(id))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name, _, broken := strings.Cut(e.Name(), ".broken-"); broken {
			names = append(names, name)
		}
	}
	return names
}

func (p place) recover(t *testing.T, id string) (shim.Bundle, error) {
	t.Helper()
	return shim.RecoverBundle(deadline(t), p.dir, p.bundle(id))
}

// TestFilesThatCannotBeReadAreRecoveredFromALivingShim, each of them, and both at once.
func TestFilesThatCannotBeReadAreRecoveredFromALivingShim(t *testing.T) {
	for name, spoiled := range map[string][]string{
		"state": {"state.json"}, "spec": {"spec.json"}, "both": {"spec.json", "state.json"}, "exit": {"exit"}, "none": nil,
		"spec and exit": {"spec.json", "exit"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			s := start(t, p.options("lives", "sleep", "600"))
			for _, file := range spoiled {
				p.spoil(t, "lives", file)
			}
			b, err := p.recover(t, "lives")
			if err != nil || b.Status != shim.StatusRunning || b.State.Gateway != s.State.Gateway ||
				b.State.Shim != s.State.Shim || b.Spec == nil || b.Spec.Hash != s.State.SpecHash {
				t.Fatalf("%+v, %v", b, err)
			}
			want := strings.Join(spoiled, " ")
			want = strings.TrimSpace(strings.TrimSuffix(want, "exit")) // its shim has it open, and will overwrite it
			if got := strings.Join(p.brokenOnes(t, "lives"), " "); got != want {
				t.Errorf("renamed: %q, want %q", got, want)
			}
			if again := start(t, p.options("lives", "sleep", "600")); !again.Already ||
				again.State.Gateway != s.State.Gateway {
				t.Errorf("launched again: %+v", again)
			}
		})
	}
}

// TestAMissingStateIsRecoveredWhenAShimHasBegun; a launch that never began stays new.
func TestAMissingStateIsRecoveredWhenAShimHasBegun(t *testing.T) {
	p := newPlace(t)
	s := start(t, p.options("lives", "sleep", "600"))
	if err := os.Remove(filepath.Join(p.bundle("lives"), "state.json")); err != nil {
		t.Fatal(err)
	}
	b, err := p.recover(t, "lives")
	if err != nil || b.Status != shim.StatusRunning || b.State.Gateway != s.State.Gateway {
		t.Errorf("%+v, %v", b, err)
	}
	if got := p.brokenOnes(t, "lives"); len(got) != 0 {
		t.Errorf("renamed: %v", got)
	}
	if err := os.Mkdir(p.bundle("fresh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if b, err := p.recover(t, "fresh"); err != nil || b.Status != shim.StatusNew {
		t.Errorf("fresh: %+v, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(p.bundle("fresh"), "state.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it has a state now: %v", err)
	}
	if _, err := p.recover(t, "missing"); !errors.Is(err, shim.ErrNoBundle) {
		t.Errorf("missing: %v", err)
	}
	// a shim had begun, and nothing of it lives: there is nothing to recover, and nothing is changed
	if err := os.WriteFile(filepath.Join(p.bundle("fresh"), "lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := p.recover(t, "fresh"); err != nil || b.Status != shim.StatusNew {
		t.Errorf("begun: %+v, %v", b, err)
	}
}

// orphan is a launch whose shim was killed and whose gateway lives, with a child.
func (p place) orphan(t *testing.T, id string) shim.Started {
	t.Helper()
	s := start(t, p.options(id, sh("sleep 600 & echo up; wait")...))
	printed(t, s.Client, "up")
	if err := s.State.Shim.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitGone(t, s.State.Shim)
	return s
}

// TestAStateIsRecoveredFromTheGatewayWhenItsShimIsGone: the eldest of its processes is the gateway.
func TestAStateIsRecoveredFromTheGatewayWhenItsShimIsGone(t *testing.T) {
	p := newPlace(t)
	s := p.orphan(t, uuid)
	p.spoil(t, uuid, "state.json")
	p.spoil(t, uuid, "exit")
	b, err := p.recover(t, uuid)
	if err != nil || b.Status != shim.StatusUnwatched || b.State.Gateway != s.State.Gateway ||
		b.State.Shim != s.State.Shim || b.State.SpecHash != s.State.SpecHash || b.State.BootID != s.State.BootID {
		t.Fatalf("%+v, %v", b, err)
	}
	if s.State.Group != nil && (b.State.Group == nil || *b.State.Group != *s.State.Group) {
		t.Errorf("its group is %+v, want %+v", b.State.Group, s.State.Group)
	}
	if got := strings.Join(p.brokenOnes(t, uuid), " "); got != "exit state.json" {
		t.Errorf("renamed: %q", got)
	}
	if off := b.State.StartedAt.Sub(s.State.StartedAt).Abs(); off > 5*time.Second {
		t.Errorf("it began %v apart", off)
	}
}

// TestAProcessThatMayBeOfAnotherLaunchIsNotBelieved: an id that another host may have used, too, and a process that is
// older than the bundle.
func TestAProcessThatMayBeOfAnotherLaunchIsNotBelieved(t *testing.T) {
	for name, row := range map[string]struct {
		id     string
		change func(p place, id string) error
	}{
		"no UUID": {"lives", func(place, string) error { return nil }},
		"older than the bundle": {uuid, func(p place, id string) error {
			entries, err := os.ReadDir(p.bundle(id))
			for _, e := range entries {
				later := time.Now().Add(time.Hour)
				err = errors.Join(err, os.Chtimes(filepath.Join(p.bundle(id), e.Name()), later, later))
			}
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			s := p.orphan(t, row.id)
			t.Cleanup(func() { // its bundle is of no use for that
				_ = s.State.Gateway.Signal(syscall.SIGKILL)
				_, _ = s.Bundle.StopUnwatched(context.Background(), 0)
			})
			p.spoil(t, row.id, "state.json")
			if err := row.change(p, row.id); err != nil {
				t.Fatal(err)
			}
			b, err := p.recover(t, row.id)
			if !errors.Is(err, shim.ErrBroken) || b.Status != shim.StatusBroken ||
				!strings.Contains(err.Error(), "it cannot be proved that it is of this launch") {
				t.Errorf("%+v, %v", b, err)
			}
			if got := p.brokenOnes(t, row.id); len(got) != 0 {
				t.Errorf("renamed: %v", got)
			}
			if _, err := shim.Quarantine(deadline(t), p.dir, p.bundle(row.id)); err == nil ||
				!strings.Contains(err.Error(), "cannot be proved") {
				t.Errorf("Quarantine = %v", err)
			}
		})
	}
}

// TestOnlyABundleOfWhichNothingLivesIsQuarantined, and it is reported for a day.
func TestOnlyABundleOfWhichNothingLivesIsQuarantined(t *testing.T) {
	p := newPlace(t)
	start(t, p.options("lives", "sleep", "600"))
	if err := os.WriteFile(filepath.Join(p.run(), "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"over", "held", "no name"} {
		if err := os.Mkdir(p.bundle(id), 0o700); err != nil {
			t.Fatal(err)
		}
		p.spoil(t, id, "state.json")
	}
	held, err := shim.Lock(p.bundle("held"))
	if err != nil || held == nil {
		t.Fatalf("%v, %v", held, err)
	}
	defer held.Close()
	for id, want := range map[string]string{
		"lives": "it can be read", "file": "it is none of ours", "no name": "it is none of ours",
		"held": "a shim holds its lock", "missing": "no such launch",
	} {
		_, err := shim.Quarantine(deadline(t), p.dir, p.bundle(id))
		if err == nil || !strings.Contains(err.Error(), want) || (id == "missing") != errors.Is(err, shim.ErrNoBundle) ||
			(id == "held") != errors.Is(err, shim.ErrRunning) {
			t.Errorf("%s: %v, want %s", id, err, want)
		}
	}
	socket := shim.SocketPath(p.dir, p.bundle("over"))
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := time.Now().Unix()
	moved, err := shim.Quarantine(deadline(t), p.dir, p.bundle("over"))
	if err != nil || !strings.Contains(moved.Reason, "nothing of it was found alive") ||
		filepath.Dir(moved.Dir) != filepath.Join(p.run(), ".broken") {
		t.Fatalf("%+v, %v", moved, err)
	}
	for _, path := range []string{p.bundle("over"), socket} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(moved.Dir, "state.json")); err != nil || string(text) != "{half" {
		t.Errorf("its state is %q, %v", text, err)
	}
	listed := func() []shim.Quarantined { t.Helper(); return shim.ListQuarantined(p.run()) }
	if got := listed(); len(got) != 1 || got[0].Dir != moved.Dir || got[0].Reason != moved.Reason {
		t.Errorf("listed %+v, want %+v", got, moved)
	}
	if err := os.Remove(filepath.Join(moved.Dir, "broken.txt")); err != nil {
		t.Fatal(err)
	}
	if got := listed(); len(got) != 1 || !strings.Contains(got[0].Reason, "its reason cannot be read") {
		t.Errorf("without its reason: %+v", got)
	}
	old := filepath.Join(p.run(), ".broken", "over-"+strconv.FormatInt(before-25*3600, 10))
	timeless := filepath.Join(p.run(), ".broken", "over-x")
	if err := errors.Join(os.Rename(moved.Dir, old), os.Mkdir(timeless, 0o700)); err != nil {
		t.Fatal(err)
	}
	if got := listed(); len(got) != 0 {
		t.Errorf("after a day: %+v", got)
	}
	if got := shim.ListQuarantined(filepath.Join(p.dir, "nowhere")); got != nil {
		t.Errorf("without any: %+v", got)
	}
}

// TestOneProcessRecoversABundleAtATime: another one waits, and may give up.
func TestOneProcessRecoversABundleAtATime(t *testing.T) {
	p := newPlace(t)
	s := start(t, p.options("lives", "sleep", "600"))
	p.spoil(t, "lives", "state.json")
	folder, err := os.Open(p.bundle("lives"))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	held := int(folder.Fd())
	if err := syscall.Flock(held, syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(deadline(t))
	time.AfterFunc(100*time.Millisecond, func() { cancel(enough) })
	if _, err := shim.RecoverBundle(ctx, p.dir, p.bundle("lives")); !errors.Is(err, enough) {
		t.Errorf("while another recovers it: %v", err)
	}
	if got := p.brokenOnes(t, "lives"); len(got) != 0 {
		t.Errorf("renamed: %v", got)
	}
	time.AfterFunc(100*time.Millisecond, func() { _ = syscall.Flock(held, syscall.LOCK_UN) })
	if b, err := p.recover(t, "lives"); err != nil || b.State.Gateway != s.State.Gateway {
		t.Errorf("after it: %+v, %v", b, err)
	}
	p.spoil(t, "lives", "state.json")
	if _, err := shim.RecoverBundle(ctx, p.dir, p.bundle("lives")); !errors.Is(err, enough) { // it has ended already
		t.Errorf("given up: %v", err)
	}
}

// TestAJoinedLaunchTellsItsPresentState, and not the one on disk.
func TestAJoinedLaunchTellsItsPresentState(t *testing.T) {
	p := newPlace(t)
	s := start(t, p.options("lives", sh("echo up; exec sleep 600")...))
	printed(t, s.Client, "up")
	again := start(t, p.options("lives", sh("echo up; exec sleep 600")...))
	if !again.Already || again.State.OutputEnd != 3 {
		t.Errorf("%+v", again.State)
	}
}

// TestAShimThatDoesNotReportIsExplainedByItsLog.
func TestAShimThatDoesNotReportIsExplainedByItsLog(t *testing.T) {
	p := newPlace(t)
	o := p.options("mute", "true")
	o.ShimPath = filepath.Join(p.dir, "mute")
	script := fmt.Sprintf("#!/bin/sh\necho the disk is on fire >%s/shim.log\n", p.bundle("mute"))
	if err := os.WriteFile(o.ShimPath, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := shim.Start(deadline(t), o); err == nil || !strings.Contains(err.Error(), "the disk is on fire") {
		t.Errorf("Start = %v", err)
	}
	o = p.options("absent", "true")
	o.ShimPath = filepath.Join(p.dir, "absent")
	if _, err := shim.Start(deadline(t), o); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Start = %v", err)
	}
}

func init() { //nolint:gochecknoinits // before TestMain
	roles["peer"] = rolePeer
}

// rolePeer is another user: it connects to its first argument and says who it is, or listens on it.
func rolePeer() int {
	if os.Args[2] == "listen" {
		l, err := net.Listen("unix", os.Args[3])
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println("listening")
		conn, err := l.Accept()
		if err == nil {
			_, _ = io.Copy(io.Discard, conn)
		}
		return 0
	}
	conn, err := net.Dial("unix", os.Args[3])
	if err == nil {
		err = shim.PeerIsUs(conn)
	}
	fmt.Println("answer:", err)
	return 0
}

// TestASocketOfAnotherUserIsRefused, except one of root. Without root there is no other user to try it with.
func TestASocketOfAnotherUserIsRefused(t *testing.T) {
	p := newPlace(t)
	path := filepath.Join(p.dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := shim.PeerIsUs(conn); err != nil {
		t.Errorf("our own: %v", err)
	}
	if uid, err := shim.PeerUID(conn); err != nil || uid != os.Geteuid() {
		t.Errorf("PeerUID = %d, %v", uid, err)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, err := shim.PeerUID(a); !errors.Is(err, shim.ErrUnsupported) {
		t.Errorf("no socket: %v", err)
	}
	if err := shim.PeerIsUs(a); err != nil {
		t.Errorf("no socket: %v", err)
	}
	if os.Geteuid() != 0 {
		return
	}
	const another = 65534
	binary := filepath.Join(p.dir, "peer")
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	theirs := filepath.Join(p.dir, "theirs")
	if err := errors.Join(os.WriteFile(binary, self, 0o755), os.Chmod(p.dir, 0o755), os.Chmod(path, 0o777),
		os.Mkdir(theirs, 0o755), os.Chown(theirs, another, another)); err != nil {
		t.Fatal(err)
	}
	other := func(what, path string) *exec.Cmd {
		cmd := exec.Command(binary, "peer", what, path)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: another, Gid: another}}
		return cmd
	}
	if out, err := other("dial", path).CombinedOutput(); err != nil || string(out) != "answer: <nil>\n" {
		t.Errorf("root's socket: %s, %v", out, err)
	}
	cmd := other("listen", filepath.Join(theirs, "s"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	word := make([]byte, len("listening\n"))
	if _, err := io.ReadFull(out, word); err != nil {
		t.Fatal(err)
	}
	foreign, err := net.Dial("unix", filepath.Join(theirs, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	if err := shim.PeerIsUs(foreign); err == nil || !strings.Contains(err.Error(), "belongs to user 65534") {
		t.Errorf("another user's: %v", err)
	}
}

// TestAReleaseThatBreaksOffWaitsForTheShim: it may have ended because of it.
func TestAReleaseThatBreaksOffWaitsForTheShim(t *testing.T) {
	p := newPlace(t)
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := process.Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	boot, err := process.BootID()
	if err != nil {
		t.Fatal(err)
	}
	state := shim.State{
		Version: 1, LaunchID: "one", Phase: shim.PhaseEnded, BootID: boot, Shim: id,
		Socket: filepath.Join(p.dir, "one.shim"),
	}
	if err := errors.Join(os.MkdirAll(p.bundle("one"), 0o700), shim.WriteState(p.bundle("one"), state)); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", state.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for {
					var req shim.Request
					if _, err := shim.ReadFrame(conn, &req); err != nil {
						return
					}
					if req.Op == shim.OpRelease {
						_, _ = cmd.Process.Kill(), cmd.Wait()
						return
					}
					if shim.WriteFrame(conn, shim.Response{Version: 1, State: &state}, nil) != nil {
						return
					}
				}
			}()
		}
	}()
	c, err := shim.Connect(deadline(t), p.bundle("one"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Release(deadline(t)); err != nil {
		t.Errorf("Release = %v", err)
	}
}

// TestAStateThatCanBeReadAndNamesNothingIsRecovered, too.
func TestAStateThatCanBeReadAndNamesNothingIsRecovered(t *testing.T) {
	p := newPlace(t)
	s := start(t, p.options("lives", "sleep", "600"))
	if err := os.WriteFile(filepath.Join(p.bundle("lives"), "state.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := p.recover(t, "lives"); err != nil || b.State.Gateway != s.State.Gateway {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestSpecAndExitAreRecoveredWithoutAShim; the hash, by which a launch is idempotent, is kept.
func TestSpecAndExitAreRecoveredWithoutAShim(t *testing.T) {
	p := newPlace(t)
	s := p.orphan(t, "lives")
	p.spoil(t, "lives", "spec.json")
	p.spoil(t, "lives", "exit")
	b, err := p.recover(t, "lives")
	if err != nil || b.Status != shim.StatusUnwatched || b.Spec.Hash != s.State.SpecHash {
		t.Errorf("%+v, %v", b, err)
	}
	if got := strings.Join(p.brokenOnes(t, "lives"), " "); got != "exit spec.json" {
		t.Errorf("renamed: %q", got)
	}
}

// TestOneNewFileDoesNotMakeABundleYounger: its oldest file says when it was made.
func TestOneNewFileDoesNotMakeABundleYounger(t *testing.T) {
	p := newPlace(t)
	s := p.orphan(t, uuid)
	p.spoil(t, uuid, "state.json")
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(p.bundle(uuid), "state.json"), later, later); err != nil {
		t.Fatal(err)
	}
	if b, err := p.recover(t, uuid); err != nil || b.State.Gateway != s.State.Gateway {
		t.Errorf("%+v, %v", b, err)
	}
}

// answers plays a shim at a socket: it answers hello by the states, the last one again and again.
func answers(t *testing.T, socket string, states ...shim.State) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			var req shim.Request
			if _, err := shim.ReadFrame(conn, &req); err == nil {
				_ = shim.WriteFrame(conn, shim.Response{Version: 1, State: &states[0]}, nil)
			}
			states = states[min(1, len(states)-1):]
			conn.Close()
		}
	}()
}

// TestWhatAShimSaysIsChecked: it must be of this launch, and one that begins is asked again.
func TestWhatAShimSaysIsChecked(t *testing.T) {
	boot, err := process.BootID()
	if err != nil {
		t.Fatal(err)
	}
	_, id := sleeper(t)
	good := shim.State{
		Version: 1, LaunchID: "one", Phase: shim.PhaseRunning, BootID: boot, Shim: id, Gateway: id, SpecHash: "h",
	}
	begins, other := good, good
	begins.Phase, begins.Gateway = shim.PhaseStarting, process.Identity{}
	other.LaunchID = "two"
	for name, row := range map[string]struct {
		states []shim.State
		ok     bool
	}{
		"this one": {[]shim.State{good}, true}, "it begins": {[]shim.State{begins, good}, true},
		"another": {[]shim.State{other}, false},
	} {
		p := newPlace(t)
		if err := os.MkdirAll(p.bundle("one"), 0o700); err != nil {
			t.Fatal(err)
		}
		p.spoil(t, "one", "state.json")
		answers(t, shim.SocketPath(p.dir, p.bundle("one")), row.states...)
		b, err := p.recover(t, "one")
		if (err == nil) != row.ok || row.ok && (b.Status != shim.StatusRunning || b.State.SpecHash != "h") {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
		if got := p.brokenOnes(t, "one"); (len(got) == 1) != row.ok {
			t.Errorf("%s: renamed %v", name, got)
		}
		os.RemoveAll(p.bundle("one"))
	}
}

func sleeper(t *testing.T) (*exec.Cmd, process.Identity) {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	id, err := process.Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return cmd, id
}

// TestAControlGroupOfALaunchCounts: a process in it may be of the launch, and an empty one goes with the bundle.
func TestAControlGroupOfALaunchCounts(t *testing.T) {
	p := newPlace(t)
	if err := os.MkdirAll(p.bundle(uuid), 0o700); err != nil {
		t.Fatal(err)
	}
	p.spoil(t, uuid, "state.json")
	g, err := process.MakeGroup(shim.GroupName(uuid))
	if err != nil {
		return // there are none here
	}
	t.Cleanup(func() { _ = g.Remove() })
	cmd, id := sleeper(t)
	if err := os.WriteFile(filepath.Join(g.Path, "cgroup.procs"), []byte(strconv.Itoa(id.PID)), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := shim.Quarantine(deadline(t), p.dir, p.bundle(uuid)); err == nil ||
		!strings.Contains(err.Error(), "is in its control group") {
		t.Errorf("Quarantine = %v", err)
	}
	_, _ = cmd.Process.Kill(), cmd.Wait()
	if _, err := shim.Quarantine(deadline(t), p.dir, p.bundle(uuid)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(g.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its group is there: %v", err)
	}
}
