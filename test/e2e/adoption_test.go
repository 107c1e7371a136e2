package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/internal/testhost"
)

// moment is what is under way when something dies. reach brings a site there; it starts with a host whose gateway runs,
// unless begins says that it starts the host itself.
type moment struct {
	name      string
	misbehave string
	begins    bool
	reach     func(s *site)
}

const broken = `{"gateway": {"mode": "local"}, "thisKeyIsUnknown": true}`

func moments() []moment {
	phase := func(s *site, want ...string) {
		s.await(fmt.Sprint("phase ", want), func(g gatewayStatus) bool { return slices.Contains(want, g.Phase) })
	}
	return []moment{
		{name: "start, before the launch", reach: func(s *site) {
			s.must("stop", "main")
			stopped := s.roles()["utility"] // it cannot answer, so the start comes no further
			s.kill(syscall.SIGSTOP, "utility")
			s.eventually("it is stopped", func() (bool, string) { // a signal takes its time on a busy machine
				stat, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(stopped[0]), "stat"))
				_, rest, _ := strings.Cut(string(stat), ") ")
				return strings.HasPrefix(rest, "T"), string(stat)
			})
			s.t.Cleanup(func() { _ = testhost.Signal(stopped[0], syscall.SIGCONT) })
			s.must("start", "main", "--no-wait")
			phase(s, "recovering")
		}},
		{name: "start, waiting for ready", misbehave: "slow-listen=1200", begins: true, reach: func(s *site) {
			s.run()
			s.await("a process that is not ready", func(g gatewayStatus) bool { return g.Phase == "ready" && g.PID > 0 })
		}},
		{name: "running", misbehave: "", reach: func(*site) {}},
		{name: "stop", misbehave: "slow-stop=1000", reach: func(s *site) {
			s.must("stop", "main", "--no-wait")
			phase(s, "clearing")
		}},
		{name: "restart", misbehave: "slow-stop=1000", reach: func(s *site) {
			s.must("restart", "main", "--no-wait")
			phase(s, "clearing")
		}},
		{name: "repair", misbehave: "slow-doctor=1200", begins: true, reach: func(s *site) {
			if err := os.WriteFile(filepath.Join(s.dir, "oc", "openclaw.json"), []byte(broken), 0o600); err != nil {
				s.t.Fatal(err)
			}
			s.run()
			phase(s, "repairing")
			s.eventually("the doctor's command runs", func() (bool, string) { return len(s.roles()["gateway"]) > 0, "" })
		}},
	}
}

// fate is what is to become of the gateway.
type fate int

const (
	kept      fate = iota + 1 // the same process runs
	renewed                   // a new process runs
	stopped                   // it is stopped, as it was asked
	explained                 // it is in error, which says why
)

// expect is the matrix: what an operator may expect.
//
// A host that is killed in a stop does not pass the request on: the next one starts each gateway whose autostart says
// so, as after any start of the host. A doctor's command that is killed is a repair that failed, which is said and not
// tried again by itself.
func expect(moment, victim string) (fate, bool) {
	host, gone := strings.HasPrefix(victim, "host") || victim == "everything",
		victim == "everything" || strings.Contains(victim, "shim")
	switch moment {
	case "start, before the launch":
		return renewed, victim != "shim" && victim != "gateway" && victim != "host+plugins+shim" // there are none yet
	case "start, waiting for ready", "running":
		if gone || victim == "gateway" {
			return renewed, true
		}
		return kept, true
	case "stop":
		if host {
			return renewed, true
		}
		return stopped, true
	case "repair":
		if victim == "shim" || victim == "gateway" {
			return explained, true
		}
		return renewed, true
	default:
		return renewed, true
	}
}

// TestWhateverDiesDuringWhatever is the matrix of docs/reliability.md: kill -9 of each part, at each moment.
func TestWhateverDiesDuringWhatever(t *testing.T) {
	victims := []string{
		"host", "utility", "doctor", "plugins", "shim", "gateway", "host+plugins", "host+plugins+shim", "everything",
	}
	for _, m := range moments() {
		for _, victim := range victims {
			want, there := expect(m.name, victim)
			if !there {
				continue
			}
			t.Run(m.name+": "+victim, func(t *testing.T) {
				dies(t, m, victim, want)
			})
		}
	}
}

func dies(t *testing.T, m moment, victim string, want fate) {
	t.Helper()
	s := newSite(t, emulator(m.misbehave))
	var before gatewayStatus
	if !m.begins {
		s.run()
		before = s.awaitState("running")
	}
	m.reach(s)
	if m.begins {
		before = s.await("a status", func(gatewayStatus) bool { return true })
	}
	pid := 0
	if m.name != "repair" {
		pid = before.PID
	}
	if dead := s.kill(syscall.SIGKILL, strings.Split(victim, "+")...); dead == 0 {
		t.Fatalf("there is no %s", victim)
	}
	host := strings.HasPrefix(victim, "host") || victim == "everything"
	if host {
		<-s.exited
		s.startHost()
	}
	s.eventually("what was expected", func() (bool, string) {
		st, ok := s.status()
		if !ok {
			return false, "no host answers"
		}
		g := st.Gateways[0]
		wrong := s.wrong(g, want, pid)
		for _, p := range st.Plugins {
			if p.State != "running" {
				wrong = append(wrong, "plugin "+p.Name+" is "+p.State)
			}
		}
		return len(wrong) == 0, strings.Join(wrong, "; ")
	})
	if want == kept && host {
		if g := s.await("adopted", func(g gatewayStatus) bool { return g.Adopted }); g.Restarts != 0 {
			t.Errorf("adopted with %d restarts", g.Restarts)
		}
	}
	// Three unclean ends in five minutes make OpenClaw come back without channels: nothing but a kill of the gateway may
	// be one.
	if data, err := os.ReadFile(filepath.Join(s.dir, "oc", "tmp", "emulator-boots")); err == nil && want != explained {
		boots := strings.Fields(strings.TrimSpace(string(data)))
		limit := 1 // the one that runs
		if want == stopped {
			limit = 0
		}
		if victim == "gateway" || victim == "everything" {
			limit++
		}
		if n := len(boots) / 2; n > limit {
			t.Errorf("%d boots were not ended in order, want at most %d: %q", n, limit, data)
		}
	}
	if want != stopped && want != explained {
		s.must("rpc", "main", "health")
	}
	s.shutdown()
	s.eventually("no shim is left", func() (bool, string) {
		left := s.roles()
		return len(left["shim"]) == 0, fmt.Sprint(left)
	})
}

// wrong is what is not as wanted; pid is of the process that was there before, if it is to be told apart.
func (s *site) wrong(g gatewayStatus, want fate, pid int) (wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	roles := s.roles()
	if n := len(roles["other"]); n > 0 {
		bad("left behind: %v", roles["other"])
	}
	switch want {
	case kept, renewed:
		if g.State != "running" || g.Owner != "owned" {
			bad("status says %s (%s) %s: %+v", g.State, g.Phase, g.Owner, g.Error)
		}
		if got := roles["gateway"]; len(got) != 1 || got[0] != g.PID {
			bad("status says pid %d, there are %v", g.PID, got)
		}
		if len(roles["shim"]) != 1 {
			bad("shims: %v", roles["shim"])
		}
		if pid > 0 && (g.PID == pid) != (want == kept) {
			bad("pid is %d and was %d", g.PID, pid)
		}
	case stopped, explained:
		if want == stopped && (g.State != "stopped" || g.Owner != "none" || g.PID != 0) {
			bad("status says %s %s pid %d", g.State, g.Owner, g.PID)
		}
		if want == explained &&
			(g.State != "error" || g.Error == nil || !strings.Contains(g.Error.Message, "repair") || g.Error.Hint == "") {
			bad("status says %s: %+v, want an error about the repair, with a hint", g.State, g.Error)
		}
		if len(roles["gateway"])+len(roles["shim"]) > 0 {
			bad("there are %v", roles)
		}
	}
	return wrong
}

// roles is the pids of the site's processes by what they are: host, utility, doctor, shim, gateway (its launch's first
// process, or the one of a doctor's command), other.
func (s *site) roles() map[string][]int {
	out := map[string][]int{}
	shims := map[string]bool{} // as text
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries { // a shim has no environment, its open files tell whose it is
		args, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if !strings.HasPrefix(string(args), "gatehost-shim\x00run\x00") || !s.holdsFiles(e.Name()) {
			continue
		}
		pid, _ := strconv.Atoi(e.Name())
		out["shim"] = append(out["shim"], pid)
		shims[e.Name()] = true
	}
	for _, p := range s.processes() {
		env, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid), "environ"))
		vars := map[string]string{}
		for kv := range strings.SplitSeq(string(env), "\x00") {
			k, v, _ := strings.Cut(kv, "=")
			vars[k] = v
		}
		role := "other"
		switch {
		case shims[strconv.Itoa(p.pid)]:
			continue
		case vars["GATEHOST_LAUNCH_ID"] != "":
			role = "gateway"
		case vars["GATEHOST_PLUGIN_NAME"] != "":
			role = vars["GATEHOST_PLUGIN_NAME"]
		case s.host != nil && p.pid == s.host.Process.Pid:
			role = "host"
		case strings.Contains(p.args, "gatehost ") && !strings.Contains(p.args, "gatehost run"):
			continue // a verb of this test
		}
		out[role] = append(out[role], p.pid)
	}
	return out
}

func (s *site) holdsFiles(pid string) bool {
	dir := filepath.Join("/proc", pid, "fd")
	fds, _ := os.ReadDir(dir)
	return slices.ContainsFunc(fds, func(fd os.DirEntry) bool {
		target, err := os.Readlink(filepath.Join(dir, fd.Name()))
		return err == nil && strings.HasPrefix(target, s.dir+"/")
	})
}

// kill sends a signal to all processes of the roles at once and returns how many there were. plugins are all plugins.
func (s *site) kill(sig syscall.Signal, roles ...string) int {
	found := s.roles()
	var pids []int
	for _, role := range roles {
		switch role {
		case "plugins":
			pids = append(pids, append(found["utility"], found["doctor"]...)...)
		case "everything":
			for _, some := range found {
				pids = append(pids, some...)
			}
		default:
			pids = append(pids, found[role]...)
		}
	}
	for _, pid := range pids {
		_ = testhost.Signal(pid, sig)
	}
	return len(pids)
}
