//go:build linux

package chaos_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// chaos is one run of the test.
type chaos struct {
	t        *testing.T
	s        *site
	set      settings
	journal  *journal
	exempt   map[string]string // launches whose lines may be lost, and why
	outcomes map[outcome]int
	help     []string
	slow     []string
	failures int
	checked  int // numbered lines of launches that are over
	launches int
	resource []resource
}

// outcome is a row of the table.
type outcome struct{ died, during, fate string }

// resource is what a host cost.
type resource struct{ generation, pid, rssKB, fds int }

func (c *chaos) fail(t *trial, format string, args ...any) {
	c.t.Helper()
	c.failures++
	st, err := c.s.status()
	var gateways []string
	for _, g := range st.Gateways {
		gateways = append(gateways, fmt.Sprintf("    %+v", g))
	}
	c.s.note("FAILED: "+format, args...)
	c.t.Errorf("CHAOS_SEED=%d\n%s  FAILED: %s\n  status (%v), plugins %+v:\n%s\n  hosts' terminal:\n%s", c.set.seed, t,
		fmt.Sprintf(format, args...), err, st.Plugins, strings.Join(gateways, "\n"), c.s.logTail(120))
	if c.failures > 8 {
		c.t.Fatal("too many failures")
	}
}

func TestNothingDiesWithTheHost(t *testing.T) {
	set := settingsOf(t)
	t.Logf("CHAOS_SEED=%d CHAOS_DURATION=%v", set.seed, set.duration)
	s := newSite(t, set.openclaw)
	c := &chaos{
		t: t, s: s, set: set, journal: newJournal(filepath.Join(s.state(), "journal")),
		exempt: map[string]string{}, outcomes: map[outcome]int{},
	}
	if err := s.startHost(); err != nil {
		t.Fatal(err)
	}
	names, want := []string{}, expectation{}
	for _, g := range s.gateways {
		names = append(names, g.name)
		want[g.name] = true
	}
	start := &trial{s: s, e: episode{number: 0}, ended: map[int]string{}}
	c.settle(start, want)
	c.measure()
	twins := c.watchForTwins()

	began := time.Now()
	number := 0
	for time.Since(began) < set.duration {
		number++
		trial := &trial{s: s, seed: set.seed, e: plan(set.seed, number, names, s.disk)}
		trial.run()
		want = trial.expected(want)
		l, help := c.settle(trial, want)
		c.judge(trial, l, want, help)
		for _, twin := range twins.found() {
			c.fail(trial, "two live processes of one gateway at the same time: %s", twin)
		}
		c.measure()
		c.refresh(l)
	}
	twins.stop()
	c.end(want)
	c.tell(number, time.Since(began))
}

// judge checks what can be said once all is settled, and counts it.
func (c *chaos) judge(t *trial, l settled, want expectation, help []string) {
	c.adopted(t, l, want)
	c.lines(t, l)
	for _, text := range t.broken {
		c.fail(t, "%s", text)
	}
	for _, text := range t.alone {
		if !t.had("disk full") {
			c.fail(t, "%s", text)
		}
	}
	for _, text := range help {
		c.help = append(c.help, fmt.Sprintf("%s after %s", text, t.e))
		if strings.HasPrefix(text, "gateway") && !t.had("disk full") {
			c.fail(t, "%s", text)
		}
	}
	for _, h := range t.met {
		if h.hung {
			c.fail(t, "plugin %s hung for %v and was not replaced", h.who, h.hold)
		}
	}
	// Of two faults the table knows what the first one met: what the second one met depends on it.
	h := t.met[0]
	fate := c.fates(t, h, l, want)
	died := h.kind
	switch {
	case len(t.met) > 1:
		died = "two of these, one after the other"
	case h.kind == "plugin" || h.kind == "plugin hangs":
		died += " (" + h.who + ")"
	}
	for name, how := range fate {
		// else it is not concerned
		meant := h.kind != "shim" && h.kind != "gateway" && h.kind != "shim+gateway" || name == h.who
		if meant {
			c.outcomes[outcome{died, h.during[name], how}]++
		}
	}
	c.t.Logf("%s  settled after %v: %v help: %v", t, t.settled.Round(time.Millisecond), fate, help)
}

// refresh gives plugins that died often a new count, as an operator would: their back-off is not what is tried here.
func (c *chaos) refresh(l settled) {
	for _, p := range l.status.Plugins {
		if p.Restarts >= 3 {
			_, _ = c.s.call(context.Background(), c.s.patience(), http.MethodPost, "/v1/plugins/"+p.Name+"/restart",
				map[string]any{}, nil)
		}
	}
}

func (c *chaos) measure() {
	pid, generation, _ := c.s.running()
	rss, fds := usage(pid)
	if rss > 0 {
		c.resource = append(c.resource, resource{generation, pid, rss, fds})
	}
}

// end stops everything in order and looks for what is left.
func (c *chaos) end(want expectation) {
	last := &trial{s: c.s, e: episode{number: -1}, ended: map[int]string{}}
	for name := range want {
		var answer struct {
			Outcome string `json:"outcome"`
		}
		code, err := c.s.call(context.Background(), c.s.patience(), http.MethodPost, "/v1/gateways/"+name+"/stop",
			map[string]any{}, &answer)
		if err != nil || answer.Outcome != "applied" {
			c.fail(last, "at the end stop of %s: HTTP %d %q: %v", name, code, answer.Outcome, err)
		}
		want[name] = false
	}
	l, _ := c.settle(last, want)
	c.lines(last, l)
	pid, _, exited := c.s.running()
	kill(pid, syscall.SIGTERM)
	select {
	case <-exited:
	case <-time.After(patience):
		c.fail(last, "the host did not end on SIGTERM")
	}
	for deadline := time.Now().Add(patience); ; {
		left := c.s.processes()
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			c.fail(last, "left at the end: %v", left)
			break
		}
		time.Sleep(50 * time.Millisecond) // a poll
	}
}

// tell prints the table, and checks that no host grew without bound.
func (c *chaos) tell(episodes int, took time.Duration) {
	first, final := c.resource[0], c.resource[len(c.resource)-1]
	var b strings.Builder
	_, generation, _ := c.s.running()
	fmt.Fprintf(&b,
		"Seed %d: %d episodes, %d hosts in %v; %d numbered lines of %d launches were in the journal once each.\n",
		c.set.seed, episodes, generation, took.Round(time.Second), c.checked, c.launches)
	most := resource{}
	oldest := map[int]resource{} // by generation: its first
	for _, r := range c.resource {
		if _, known := oldest[r.generation]; !known {
			oldest[r.generation] = r
		}
		most.rssKB, most.fds = max(most.rssKB, r.rssKB), max(most.fds, r.fds)
		if grown := r.fds - oldest[r.generation].fds; grown > 40 {
			c.t.Errorf("host %d had %d open files and then %d", r.generation, oldest[r.generation].fds, r.fds)
		}
	}
	fmt.Fprintf(&b, "The host at the beginning: %d MB, %d open files; at the end: %d MB, %d; at most: %d MB, %d.\n\n",
		first.rssKB>>10, first.fds, final.rssKB>>10,
		final.fds, most.rssKB>>10, most.fds)
	if most.rssKB > 400<<10 {
		c.t.Errorf("a host took %d MB", most.rssKB>>10)
	}
	fmt.Fprintf(&b, "| what died | during | outcome for the gateway | times |\n|---|---|---|---|\n")
	rows := slices.SortedFunc(maps.Keys(c.outcomes), func(a, b outcome) int {
		return strings.Compare(a.died+"\x00"+a.during+"\x00"+a.fate, b.died+"\x00"+b.during+"\x00"+b.fate)
	})
	for _, o := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %d |\n", o.died, o.during, o.fate, c.outcomes[o])
	}
	if len(c.help) > 0 {
		fmt.Fprintf(&b, "\nWhat an operator had to do:\n")
		for _, text := range c.help {
			fmt.Fprintf(&b, "- %s\n", text)
		}
	}
	if len(c.slow) > 0 {
		fmt.Fprintf(&b, "\nWhat took longer than %v to settle:\n", slow)
		for _, text := range c.slow {
			fmt.Fprintf(&b, "- %s\n", text)
		}
	}
	if !c.s.disk {
		fmt.Fprintf(&b, "\nThe disk was not filled: no file system can be mounted here.\n")
	}
	c.t.Logf("\n%s", &b)
	if keep := os.Getenv("CHAOS_LOG"); keep != "" { // the hosts' terminal, to look into
		if data, err := os.ReadFile(c.s.logPath()); err == nil {
			_ = os.WriteFile(keep, data, 0o600)
		}
	}
	if c.set.report != "" {
		if err := os.WriteFile(c.set.report, []byte(b.String()), 0o600); err != nil {
			c.t.Error(err)
		}
	}
}

// twins looks all the time for two live processes of one gateway.
type twins struct {
	mu   sync.Mutex // guards seen
	seen []string
	over chan struct{}
	done sync.WaitGroup
}

func (c *chaos) watchForTwins() *twins {
	w := &twins{over: make(chan struct{})}
	w.done.Go(func() {
		tick := time.NewTicker(150 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-w.over:
				return
			case <-tick.C:
			}
			of := map[string]proc{}
			for _, p := range c.s.processes() {
				if p.role != roleGateway {
					continue
				}
				other, known := of[p.name]
				if known && other.launch != p.launch && other.alive() && p.alive() && other.alive() { // really at the same time
					w.mu.Lock()
					w.seen = append(w.seen, fmt.Sprintf("%s and %s", other, p))
					w.mu.Unlock()
				}
				of[p.name] = p
			}
		}
	})
	return w
}

// found is what was seen since the last call.
func (w *twins) found() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	w.seen = nil
	return seen
}

func (w *twins) stop() {
	close(w.over)
	w.done.Wait()
}
