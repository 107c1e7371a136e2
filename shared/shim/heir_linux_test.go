package shim_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/process"
)

func init() { //nolint:gochecknoinits // before TestMain
	roles["role-gateway"], roles["role-fork"], roles["role-heir"] = roleGateway, roleFork, roleHeir
}

// roleGateway listens, lets a heir be made, and ends on SIGTERM; with the argument "keeps-socket" the heir has its
// listener. All that could tell where the heir comes from is gone: its parent, session, group, environment and pipes.
func roleGateway() int {
	signal.Ignore(syscall.SIGPIPE)
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	cmd := exec.Command("/proc/self/exe", "role-fork")
	cmd.Env = []string{}
	if slices.Contains(os.Args, "keeps-socket") {
		cmd.ExtraFiles = []*os.File{f}
	}
	out, err := cmd.Output()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Print(string(out)) // now that the one in between is gone
	<-term
	return 0
}

func roleFork() int {
	cmd := exec.Command("/proc/self/exe", "role-heir")
	cmd.Env, cmd.SysProcAttr = []string{}, &syscall.SysProcAttr{Setsid: true}
	if f := os.NewFile(3, "listener"); f != nil {
		if _, err := f.Stat(); err == nil {
			cmd.ExtraFiles = []*os.File{f}
		}
	}
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("heir", cmd.Process.Pid)
	return 0
}

func roleHeir() int {
	signal.Ignore(syscall.SIGTERM)
	select {}
}

// launchHeir starts a gateway with a heir.
func launchHeir(t *testing.T, p place, id string, group bool, args ...string) (shim.Started, process.Identity) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := p.options(id, append([]string{self, "role-gateway"}, args...)...)
	o.Spec.NoGroup = !group
	s := start(t, o)
	heir := pidAfter(t, s, "heir")
	t.Cleanup(func() { _ = heir.Signal(syscall.SIGKILL) })
	return s, heir
}

func killShim(t *testing.T, s shim.Started) shim.Bundle {
	t.Helper()
	if err := s.State.Shim.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitGone(t, s.State.Shim)
	b, err := shim.OpenBundle(s.Bundle.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAHeirOfTheListenerIsEndedWithTheGateway(t *testing.T) {
	for name, stop := range map[string]func(*testing.T, shim.Started) (shim.Stopped, error){
		"by its shim": func(t *testing.T, s shim.Started) (shim.Stopped, error) {
			return s.Client.Stop(deadline(t),
				patience)
		},
		"after the shim's death": func(t *testing.T, s shim.Started) (shim.Stopped, error) {
			return killShim(t, s).StopUnwatched(deadline(t), patience)
		},
		"killed after the shim's death": func(t *testing.T, s shim.Started) (shim.Stopped, error) {
			return killShim(t, s).StopUnwatched(deadline(t), 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			s, heir := launchHeir(t, p, "heir", false, "keeps-socket")
			stranger := p.stranger(t)
			stopped, err := stop(t, s)
			if err != nil || stopped.Swept != 1 || heir.Alive() {
				t.Errorf("Stop = %+v, %v, heir lives: %t; want it swept", stopped, err, heir.Alive())
			}
			if !stranger.Alive() {
				t.Error("a stranger was ended")
			}
		})
	}
}

// stranger is a process of ours that belongs to no launch and listens, too.
func (p place) stranger(t *testing.T) process.Identity {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "role-heir")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{f}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		l.Close()
		f.Close()
	})
	id, err := process.Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// needGroups makes sure that groups work where we know that they must, so that no test passes because there is none.
func needGroups(t *testing.T, s shim.Started) process.Group {
	t.Helper()
	probe, err := process.MakeGroup(fmt.Sprintf("gatehost-probe-%d", os.Getpid()))
	if err != nil {
		if s.State.Group != nil {
			t.Fatalf("the shim has group %+v, we cannot make one: %v", s.State.Group, err)
		}
		b, readErr := os.ReadFile(filepath.Join(s.Bundle.Dir, shim.LogFile))
		if readErr != nil || !strings.Contains(string(b), "without a control group") {
			t.Errorf("shim.log = %q, %v, want it to say that there is no control group", b, readErr)
		}
		return process.Group{}
	}
	if err := probe.Remove(); err != nil {
		t.Fatal(err)
	}
	if s.State.Group == nil {
		t.Fatal("the shim made no control group, although that is possible here")
	}
	return *s.State.Group
}

// With nothing but the control group to find it by.
func TestWhoeverIsInTheControlGroupIsEnded(t *testing.T) {
	for name, stop := range map[string]func(*testing.T, shim.Started) (shim.Stopped, error){
		"by its shim": func(t *testing.T, s shim.Started) (shim.Stopped, error) {
			return s.Client.Stop(deadline(t),
				patience)
		},
		"after the shim's death": func(t *testing.T, s shim.Started) (shim.Stopped, error) {
			return killShim(t, s).StopUnwatched(deadline(t), patience)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			s, heir := launchHeir(t, p, "grouped", true)
			group := needGroups(t, s)
			if group.Path == "" && name != "by its shim" {
				return // nothing could find it here, and the log says so
			}
			if stopped, err := stop(t, s); err != nil || stopped.Swept != 1 || heir.Alive() {
				t.Errorf("Stop = %+v, %v, heir lives: %t; want it swept", stopped, err, heir.Alive())
			}
			if _, err := os.Stat(group.Path); group.Path != "" && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the control group is there after the stop: %v", err)
			}
		})
	}
}

func TestAGatewayThatEndedByItselfWithoutItsShimLeavesItsHeirToTheGroup(t *testing.T) {
	p := newPlace(t)
	s, heir := launchHeir(t, p, "left", true)
	group := needGroups(t, s)
	killShim(t, s)
	if err := s.State.Gateway.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitGone(t, s.State.Gateway)
	if group.Path == "" {
		return
	}
	b, err := shim.OpenBundle(s.Bundle.Dir)
	if err != nil || b.Status != shim.StatusUnwatched || !strings.Contains(b.Detail, strconv.Itoa(heir.PID)) {
		t.Fatalf("bundle = %v %q, %v, want it unwatched because of pid %d", b.Status, b.Detail, err, heir.PID)
	}
	if err := shim.Remove(b.Dir); !errors.Is(err, shim.ErrRunning) {
		t.Errorf("Remove = %v, want a refusal", err)
	}
	if stopped, err := b.StopUnwatched(deadline(t), 0); err != nil || stopped.Swept != 1 || heir.Alive() {
		t.Errorf("StopUnwatched = %+v, %v", stopped, err)
	}
	if err := shim.Remove(b.Dir); err != nil {
		t.Errorf("Remove: %v", err)
	}
}

// A group that another launch has by now, or that a changed file names, is not touched.
func TestAGroupOfAnotherLaunchIsNeverKilled(t *testing.T) {
	p := newPlace(t)
	victim := start(t, p.options("victim", "sleep", "600"))
	s := start(t, p.options("culprit", "sleep", "600"))
	group := needGroups(t, victim)
	if group.Path == "" {
		return
	}
	b := killShim(t, s)
	for name, g := range map[string]process.Group{
		"another launch's name": group,
		"another group":         {Path: s.State.Group.Path, ID: group.ID},
		"all of the machine":    {Path: filepath.Dir(group.Path), ID: 1},
		"no group":              {Path: filepath.Join(p.dir, shim.GroupName("culprit")), ID: 1},
	} {
		b.State.Group = &g
		if err := shim.WriteState(b.Dir, *b.State); err != nil {
			t.Fatal(err)
		}
		again, err := shim.OpenBundle(b.Dir)
		if err != nil {
			t.Fatal(err)
		}
		found, err := process.Find(again.State.Tree())
		if err != nil || slices.Contains(found, victim.State.Gateway) {
			t.Errorf("%s: found %v, %v", name, found, err)
		}
	}
	if _, err := b.StopUnwatched(deadline(t), 0); err != nil {
		t.Error(err)
	}
	if !victim.State.Gateway.Alive() {
		t.Error("another launch was killed")
	}
	if err := s.State.Group.Remove(); err != nil {
		t.Error(err)
	}
}

// Its shim was killed between the gateway's end and the end of the sweep.
func TestAnEndedLaunchWhoseTreeLivesIsUnwatched(t *testing.T) {
	p := newPlace(t)
	o := p.options("swept",
		sh(`setsid sh -c 'trap "" TERM; echo child $$; while :; do sleep 0.05; done' & while [ ! -e go ]; do sleep 0.05; `+
			`done; exit 4`)...)
	o.Spec.NoGroup = true
	s := start(t, o)
	child := pidAfter(t, s, "child")
	t.Cleanup(func() { _ = child.Signal(syscall.SIGKILL) })
	if err := os.WriteFile(filepath.Join(p.dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the exit is recorded", func() bool {
		b, err := shim.OpenBundle(s.Bundle.Dir)
		return err == nil && b.Exit != nil
	})
	b := killShim(t, s) // the child ignores SIGTERM: two seconds are left
	if !child.Alive() {
		t.Fatal("the sweep was faster than we are")
	}
	if b.Status != shim.StatusUnwatched || !b.Live() || b.Exit == nil || b.Exit.Code != 4 || b.Detail == "" {
		t.Errorf("bundle = %+v, want it unwatched with its exit", b)
	}
	if err := shim.Remove(b.Dir); !errors.Is(err, shim.ErrRunning) {
		t.Errorf("Remove = %v, want a refusal", err)
	}
	if stopped, err := b.StopUnwatched(deadline(t), patience); err != nil || stopped.Swept == 0 || child.Alive() {
		t.Errorf("StopUnwatched = %+v, %v, child lives: %t", stopped, err, child.Alive())
	}
	if b, err := shim.OpenBundle(b.Dir); err != nil || b.Status != shim.StatusEnded || b.Exit.Code != 4 {
		t.Errorf("bundle = %+v, %v, want it ended", b, err)
	}
}

func TestALaterGroupOfTheSameNameIsAnotherOne(t *testing.T) {
	p := newPlace(t)
	s := start(t, p.options("samename", "sleep", "600"))
	if needGroups(t, s).Path == "" {
		return
	}
	b := killShim(t, s)
	if _, err := b.StopUnwatched(deadline(t), 0); err != nil {
		t.Fatal(err)
	}
	later, err := process.MakeGroup(shim.GroupName("samename"))
	if err != nil || later.Path != s.State.Group.Path {
		t.Fatalf("MakeGroup = %+v, %v", later, err)
	}
	stranger := p.stranger(t)
	t.Cleanup(func() {
		_ = stranger.Signal(syscall.SIGKILL)
		waitGone(t, stranger)
		if err := later.Remove(); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(later.Path, "cgroup.procs"), []byte(strconv.Itoa(stranger.PID)),
		0); err != nil {
		t.Fatal(err)
	}
	if found, err := process.Find(process.Query{Group: &later}); err != nil ||
		!slices.Equal(found, []process.Identity{stranger}) {
		t.Fatalf("in the later group: %v, %v", found, err)
	}
	if stopped, err := b.StopUnwatched(deadline(t), 0); err != nil || stopped.Swept != 0 || !stranger.Alive() {
		t.Errorf("StopUnwatched = %+v, %v, stranger lives: %t", stopped, err, stranger.Alive())
	}
	if err := shim.Remove(b.Dir); err != nil {
		t.Errorf("Remove: %v", err)
	}
	if _, err := os.Stat(later.Path); err != nil {
		t.Errorf("the later group was removed: %v", err)
	}
}
