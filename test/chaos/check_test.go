//go:build linux

package chaos_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehost/gatehost/shared/gatewaytest"
)

// expectation says for each gateway whether it is to be up.
type expectation map[string]bool

// expected is what an operator may expect after a trial. Each host starts every gateway (autostart), so a stop counts
// only when the present host did it.
func (t *trial) expected(before expectation) expectation {
	_, generation, _ := t.s.running()
	out := expectation{}
	for _, g := range t.s.gateways {
		a := t.operated(g.name)
		switch {
		case a == nil && generation == t.first:
			out[g.name] = before[g.name]
		case a == nil:
			out[g.name] = true
		case a.kind == "stop" && a.stopped && a.generation == generation:
			out[g.name] = false
		case a.kind == "stop" && generation == t.first && !a.stopped:
			out[g.name] = before[g.name] // it was refused, and says so
		default:
			out[g.name] = true
		}
	}
	return out
}

// settled is a look at a site on which nothing is wrong any more.
type settled struct {
	status    status
	processes []proc
}

func (l settled) gateway(name string) (proc, bool) {
	for _, p := range l.processes {
		if p.role == roleGateway && p.name == name {
			return p, true
		}
	}
	return proc{}, false
}

// look compares what the host says with what lives, and both with what is expected. wrong is empty when all agree.
func (s *site) look(want expectation) (l settled, wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	st, err := s.status()
	if err != nil {
		return l, []string{"no host answers: " + err.Error()}
	}
	l = settled{st, s.processes()}
	pid, _, _ := s.running()
	if st.Host.PID != pid {
		bad("status is of host %d, ours is %d", st.Host.PID, pid)
	}
	current := map[string]bool{}
	for _, g := range s.gateways {
		got := st.gateway(g.name)
		current[got.LaunchID] = got.LaunchID != ""
		for _, text := range s.lookAt(g, got, want[g.name], l.processes) {
			bad("gateway %s: %s", g.name, text)
		}
	}
	named := map[string]int{}
	for _, p := range st.Plugins {
		if p.State != "running" {
			bad("plugin %s is %s", p.Name, p.State)
		}
		named[p.Name] = p.PID
	}
	for _, p := range l.processes {
		switch {
		case p.role == roleHost && p.pid != pid:
			bad("a second host: %s", p)
		case p.role == rolePlugin && p.ppid != pid:
			bad("a plugin without its host: %s", p)
		case p.role == rolePlugin && named[p.name] != p.pid:
			bad("status says that plugin %s is pid %d, and there is %s", p.name, named[p.name], p)
		case p.role == roleShim && !current[p.launch]:
			bad("a shim of a launch that is over: %s", p)
		case (p.role == roleGateway || p.role == roleChild) && !current[p.launch]:
			bad("a process of a launch that is over: %s", p)
		case p.role == roleCommand && age(p) > maxCommand, p.role == roleOther:
			bad("left behind: %s", p)
		}
	}
	bundles, _ := os.ReadDir(filepath.Join(s.state(), "run"))
	for _, b := range bundles {
		if !strings.HasPrefix(b.Name(), ".") && !current[b.Name()] {
			bad("files of a launch that is over: run/%s", b.Name())
		}
	}
	return l, wrong
}

// maxCommand is how long what is left of a doctor's command may live: after its plugin's death it has 10 s to end, 10 s
// are for its shim, and the rest is a busy machine's.
const maxCommand = 45 * time.Second

func age(p proc) time.Duration {
	ticks, _ := strconv.ParseInt(p.started, 10, 64)
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano()) - time.Duration(ticks)*10*time.Millisecond // USER_HZ is 100 on every platform
}

func (s *site) lookAt(g gateway, got gatewayStatus, up bool, all []proc) (wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	var mains []proc
	for _, p := range all {
		if p.role == roleGateway && p.name == g.name {
			mains = append(mains, p)
		}
	}
	on := listeners(g.port)
	if !up {
		if got.State != "stopped" || got.Owner != "none" || got.PID != 0 {
			bad("is to be stopped, and status says %s %s pid %d", got.State, got.Owner, got.PID)
		}
		if len(mains) > 0 || len(on) > 0 {
			bad("is to be stopped, and there are %v, on its port %v", mains, on)
		}
		return wrong
	}
	if got.State != "running" || !got.Ready || got.Owner != "owned" {
		bad("is to be running, and status says %s (%s) ready %t %s, error %+v", got.State, got.Phase, got.Ready, got.Owner,
			got.Error)
	}
	if len(mains) != 1 {
		bad("there are %d processes of it: %v", len(mains), mains)
		return wrong
	}
	main := mains[0]
	if got.PID != main.pid || got.LaunchID != main.launch {
		bad("status says pid %d launch %s, and there is %s", got.PID, got.LaunchID, main)
	}
	if !slices.Contains(on, main.pid) || len(on) > 1 {
		bad("on its port %d are %v, it is pid %d", g.port, on, main.pid)
	}
	if !slices.ContainsFunc(all, func(p proc) bool {
		return p.role == roleShim && p.launch == main.launch && p.pid == main.ppid
	}) {
		bad("its parent %d is not its shim", main.ppid)
	}
	return wrong
}

// slow is a time to settle that the report tells of.
const slow = 10 * time.Second

// settle waits until all is as it is to be. What an operator would have to do meanwhile is done and returned.
func (c *chaos) settle(t *trial, want expectation) (l settled, help []string) {
	var wrong []string
	helped := map[string]time.Time{}
	again := func(what string) bool { // not all the time
		if time.Since(helped[what]) < 15*time.Second {
			return false
		}
		helped[what] = time.Now()
		return true
	}
	since := map[string]time.Time{} // how long something has been amiss
	began, last := time.Now(), ""
	for deadline := time.Now().Add(c.s.patience()); ; {
		if l, wrong = c.s.look(want); len(wrong) == 0 {
			if t.settled = time.Since(began); t.settled > slow {
				c.slow = append(c.slow, fmt.Sprintf("%v until the end of %q after %s", t.settled.Round(time.Second), last, t.e))
			}
			return l, help
		}
		last = strings.Join(wrong, "; ")
		if time.Now().After(deadline) {
			c.fail(t, "waited %v in vain:\n    %s", c.s.patience(), strings.Join(wrong, "\n    "))
			c.t.FailNow()
		}
		amiss := map[string]string{}
		for _, g := range l.status.Gateways {
			if g.State == "error" && want[g.Name] {
				amiss["/v1/gateways/"+g.Name+"/start"] = fmt.Sprintf("gateway %s in error: %+v", g.Name, *g.Error)
			}
		}
		for _, p := range l.status.Plugins {
			if p.State == "failed" || p.State == "backing-off" {
				amiss["/v1/plugins/"+p.Name+"/restart"] = fmt.Sprintf("plugin %s %s", p.Name, p.State)
			}
		}
		for path, what := range amiss {
			switch {
			case since[path].IsZero():
				since[path] = time.Now()
			case time.Since(since[path]) > 3*time.Second && again(path): // it does not recover at once
				help = append(help, what)
				_, _ = c.s.call(context.Background(), c.s.patience(), http.MethodPost, path, map[string]any{}, nil)
			}
		}
		for path := range since {
			if amiss[path] == "" {
				delete(since, path)
			}
		}
		time.Sleep(100 * time.Millisecond) // a poll of something outside this process
	}
}

// adopted checks that each gateway that no fault was meant for went on, over the whole episode.
func (c *chaos) adopted(t *trial, l settled, want expectation) {
	_, generation, _ := c.s.running()
	for _, g := range c.s.gateways {
		was, up := t.before[g.name]
		if !up || !want[g.name] || t.operated(g.name) != nil || t.struck(was.sameLaunch) {
			continue
		}
		if is, now := l.gateway(g.name); !now || !was.same(is) {
			c.fail(t, "gateway %s and its shim were not touched, but it was %s and is %s", g.name, was, is)
		} else if st := l.status.gateway(g.name); generation != t.first && !st.Adopted {
			c.fail(t, "gateway %s was adopted, and status does not say so", g.name)
		}
	}
}

// fates is how each gateway fared from a fault on; those that had a request after it are left out. A
// gateway with which nothing was under way, and that was not killed itself, has to be the same.
func (c *chaos) fates(t *trial, h *happened, l settled, want expectation) map[string]string {
	_, generation, _ := c.s.running()
	fate := map[string]string{}
	for _, g := range c.s.gateways {
		if t.after(g.name, h.struck) {
			continue
		}
		was, up := h.present[g.name]
		is, now := l.gateway(g.name)
		switch {
		case up && now && was.same(is) && generation != h.host:
			fate[g.name] = "adopted, same process"
		case up && now && was.same(is):
			fate[g.name] = "went on untouched"
		case now:
			fate[g.name] = "new process"
		default:
			fate[g.name] = "stopped as asked"
		}
		if h.during[g.name] == "running" && up && want[g.name] && !t.struck(was.sameLaunch) && (!now || !was.same(is)) {
			c.fail(t, "gateway %s ran when %s, and was not touched, but it was %s and is %s", g.name, h.fault, was, is)
		}
	}
	return fate
}

// resumes waits until the journal takes lines again after the disk was full, so that what comes next is whole.
func (c *chaos) resumes(t *trial) {
	if err := c.journal.follow(); err != nil {
		c.fail(t, "journal: %v", err)
	}
	had := c.journal.cursor
	for deadline := time.Now().Add(20 * time.Second); c.journal.cursor == had; {
		if time.Now().After(deadline) {
			c.fail(t, "the disk has room again, and the journal stays at event %d", had)
			return
		}
		time.Sleep(50 * time.Millisecond) // a poll
		if err := c.journal.follow(); err != nil {
			c.fail(t, "journal: %v", err)
		}
	}
}

// lines checks that each numbered line is in the journal once.
func (c *chaos) lines(t *trial, l settled) {
	if t.had("disk full") && slices.ContainsFunc(l.processes, func(p proc) bool {
		return p.role == roleGateway && c.s.counts(p.name)
	}) {
		c.resumes(t)
	}
	for _, g := range c.s.gateways {
		if !g.counts {
			continue
		}
		files, _ := filepath.Glob(gatewaytest.CountFile(c.s.gatewayDir(g.name), "*"))
		for _, path := range files {
			launch := strings.TrimPrefix(filepath.Base(path), filepath.Base(gatewaytest.CountFile("", "")))
			is, now := l.gateway(g.name)
			c.linesOf(t, path, launch, now && is.launch == launch)
		}
	}
	for _, p := range c.journal.problems {
		c.fail(t, "journal: %s", p)
	}
	c.journal.problems = nil
}

func (c *chaos) linesOf(t *trial, path, launch string, live bool) {
	if t.had("disk full") {
		c.exempt[launch] = "the disk was full"
	}
	if t.struck(func(p proc) bool { return p.role == roleShim && p.launch == launch }) && c.exempt[launch] == "" {
		c.exempt[launch] = "its shim was killed"
	}
	data, err := os.ReadFile(path)
	kept, _ := strconv.Atoi(string(data))
	if err != nil || kept == 0 {
		return
	}
	have := c.journal.of(launch)
	var missing string
	for deadline := time.Now().Add(20 * time.Second); ; {
		if err := c.journal.follow(); err != nil {
			c.fail(t, "journal: %v", err)
			return
		}
		missing = have.missing(kept)
		if missing == "" || c.exempt[launch] != "" || time.Now().After(deadline) {
			break
		}
		time.Sleep(50 * time.Millisecond) // a poll: what was written is on its way
	}
	switch c.exempt[launch] {
	case "":
		if missing != "" {
			c.fail(t, "launch %s wrote %d lines, the journal lacks %s (live: %t)", launch, kept, missing, live)
			c.exempt[launch] = "known"
		}
		if !live && have.most > kept+1 {
			c.fail(t, "launch %s wrote %d lines, the journal has line %d", launch, kept, have.most)
		}
	case "its shim was killed":
		if gap := have.missing(have.most); gap != "" {
			c.fail(t, "launch %s, whose shim was killed: the journal has lines up to %d and lacks %s", launch, have.most, gap)
			c.exempt[launch] = "known"
		}
	}
	for _, text := range have.wrong {
		c.fail(t, "launch %s: %s", launch, text)
	}
	have.wrong = nil
	if !live {
		c.checked += len(have.seen)
		c.launches++
		delete(c.journal.counted, launch)
		_ = os.Remove(path)
	}
}
