//go:build linux && soak

package chaos_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehost/gatehost/internal/testreal"
)

// What a soak waits for.
const (
	// breakerWindow is how long the host lets OpenClaw's crash-loop breaker forget, breakerOver has room for the restart
	// after it.
	breakerWindow = 310 * time.Second
	breakerOver   = breakerWindow + 3*time.Minute
	// soakTable shortens what a frozen process costs, so that half an hour has room for some.
	soakTable = `[gateways.real.reconnect]
base = "500ms"
max = "5s"
attempts = 100
stable_after = "5s"
[gateways.real.liveness]
ping = "2s"
pong_timeout = "1s"
silence = "15s"
verify_timeout = "5s"
`
)

// soak is half an hour of one host and one real gateway.
type soak struct {
	t       *testing.T
	s       *site
	r       *rand.Rand
	began   time.Time
	times   map[string][]time.Duration // by fault: how long until all was well
	samples []sample
	slow    []string
	tripped int // times that the breaker was recognised
	cleared int
}

// sample is what the host costs at one moment, with nothing under way.
type sample struct {
	at                     time.Duration
	rssKB, fds, goroutines int
	zombies                int
}

// TestSoak: SOAK_DURATION (default 30 minutes, at least ten), SOAK_SEED, SOAK_REPORT, SOAK_LOG.
func TestSoak(t *testing.T) {
	duration, seed := 30*time.Minute, rand.Uint64()>>32
	if text := os.Getenv("SOAK_DURATION"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 10*time.Minute {
			t.Fatalf("SOAK_DURATION: %q is no duration of at least ten minutes: %v", text, err)
		}
		duration = d
	}
	if text := os.Getenv("SOAK_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("SOAK_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("SOAK_SEED=%d SOAK_DURATION=%v", seed, duration)
	command, path := testreal.OpenClaw(t)
	k := &soak{
		t: t, r: rand.New(rand.NewPCG(seed, 1)), began: time.Now(), times: map[string][]time.Duration{},
		s: newSiteOf(t, true, []gateway{{name: "real", command: command, path: path[0], table: soakTable}}),
	}
	t.Cleanup(k.keepLog)
	if err := k.s.startHost(); err != nil {
		t.Fatal(err)
	}
	k.recover("first start", time.Now(), gone{})
	k.faults(duration/4, true)
	k.trip()
	k.faults(time.Since(k.began), false) // quiet ends only, until the breaker has forgotten
	k.clear()
	k.faults(duration-breakerOver, true)
	k.clear()
	k.faults(duration, false) // the ends by -9 left the channels alone: there is time left
	k.clear()                 // starts that fail count as unclean ends, too, beside the earlier ones by -9
	k.end()
	k.tell(seed, duration)
}

// keepLog keeps the host's terminal where SOAK_LOG says, above all when the soak has failed.
func (k *soak) keepLog() {
	keep := os.Getenv("SOAK_LOG")
	if keep == "" {
		return
	}
	data, err := os.ReadFile(k.s.logPath())
	if err == nil {
		err = os.WriteFile(keep, data, 0o600)
	}
	if err != nil {
		k.t.Errorf("SOAK_LOG: %v", err)
	}
}

// kinds of faults; unclean ones are ends that OpenClaw takes for crashes.
var (
	cleanFaults = []weighted{
		{"plugin utility killed", 3},
		{"plugin doctor killed", 2},
		{"plugin hangs", 1},
		{"busy for 6 s", 2},
		{"a hundred calls", 3},
		{"restart", 2},
		{"reload", 2},
		{"stop and start", 1},
		{"announced restart", 2},
		{"another program's SIGTERM", 2},
		{"configuration broken", 2},
		{"plugin replaced", 1},
	}
	uncleanFaults = []weighted{{"gateway killed", 3}, {"gateway frozen", 1}, {"shim killed", 2}}
)

// faults meets the gateway with one fault after the other until so much time has passed.
func (k *soak) faults(until time.Duration, unclean bool) {
	for time.Since(k.began) < until {
		from := cleanFaults
		if unclean {
			from = append(slices.Clone(cleanFaults), uncleanFaults...)
		}
		k.meet(pick(k.r, from))
		k.sample()
	}
}

// trip kills the gateway often enough that OpenClaw holds its channels back, and waits until the host says so.
func (k *soak) trip() {
	for range 4 { // three are enough; the first may have followed a clean end
		if k.suppressed() {
			break
		}
		k.meet("gateway killed")
	}
	deadline := time.Now().Add(time.Minute)
	for !k.suppressed() {
		if time.Now().After(deadline) {
			k.t.Fatalf("four ends by SIGKILL, and no condition channels-suppressed:\n%s", k.s.logTail(60))
		}
		time.Sleep(200 * time.Millisecond) // a poll
	}
	k.tripped++
}

func (k *soak) suppressed() bool {
	st, err := k.s.status()
	return err == nil && slices.ContainsFunc(st.gateway("real").Conditions, func(c struct {
		Code string `json:"code"`
	},
	) bool {
		return c.Code == "channels-suppressed"
	})
}

// clear lets the breaker's window pass, with nothing but clean faults, until the host has freed the channels. After the
// window the launcher is left alone: killed every few seconds it rests for a minute each time (its circuit is open),
// and nothing can be restarted without it.
func (k *soak) clear() {
	if !k.suppressed() {
		return
	}
	began := time.Now()
	for deadline := began.Add(breakerOver); k.suppressed(); {
		if time.Now().After(deadline) {
			k.t.Fatalf("the channels were not freed after the breaker's window:\n%s", k.s.logTail(60))
		}
		from := []weighted{{"a hundred calls", 3}, {"plugin doctor killed", 1}, {"busy for 6 s", 1}}
		if time.Since(began) < breakerWindow {
			from = append(from, weighted{"plugin utility killed", 1})
		}
		k.meet(pick(k.r, from))
		k.sample()
	}
	k.cleared++
	k.recover("channels freed", time.Now(), gone{})
}

// meet does one fault and waits until all is well again.
func (k *soak) meet(kind string) {
	k.s.note("%s", kind)
	began := time.Now()
	gw, st := k.look()
	another := gone{} // what must not be there any more
	switch kind {
	case "plugin utility killed", "plugin doctor killed":
		p := k.plugin(strings.Fields(kind)[1])
		kill(p.pid, syscall.SIGKILL)
		another.plugin = p.pid
	case "plugin hangs":
		p := k.plugin(plugins[k.r.IntN(len(plugins))])
		kill(p.pid, syscall.SIGSTOP) // for good: the host finds out
		another.plugin = p.pid
	case "plugin replaced":
		k.post("/v1/plugins/" + plugins[k.r.IntN(len(plugins))] + "/restart")
	case "busy for 6 s":
		kill(gw.pid, syscall.SIGSTOP)
		time.Sleep(6 * time.Second) // less than the silence that is found
		kill(gw.pid, syscall.SIGCONT)
	case "gateway frozen":
		kill(gw.pid, syscall.SIGSTOP)
		another.launch = st.LaunchID
	case "gateway killed":
		kill(gw.pid, syscall.SIGKILL)
		another.launch = st.LaunchID
	case "shim killed":
		for _, p := range k.s.processes() {
			if p.role == roleShim {
				kill(p.pid, syscall.SIGKILL)
			}
		}
		another.launch = st.LaunchID
	case "another program's SIGTERM":
		kill(gw.pid, syscall.SIGTERM)
		another.launch = st.LaunchID
	case "announced restart":
		kill(gw.pid, syscall.SIGUSR2) // in process: the same launch
		another.boot = st.BootID
	case "a hundred calls":
		k.calls(st, k.suppressed())
	case "restart", "reload":
		k.post("/v1/gateways/real/" + kind)
	case "stop and start":
		k.post("/v1/gateways/real/stop")
		k.post("/v1/gateways/real/start")
	case "configuration broken":
		if err := (&trial{s: k.s}).breakConfig("real"); err != nil {
			k.t.Fatal(err)
		}
		k.post("/v1/gateways/real/restart") // the doctor has to heal it
	default:
		k.t.Fatalf("no such fault: %s", kind)
	}
	k.recover(kind, began, another)
}

// calls makes a hundred calls. With the channels held back the host may restart the gateway meanwhile to free them:
// it answers no call then.
func (k *soak) calls(before gatewayStatus, suppressed bool) {
	for range 100 {
		code := k.postBody("/v1/gateways/real/rpc", map[string]any{"method": "health", "timeoutMs": 20000})
		if code == http.StatusOK {
			continue
		}
		st, err := k.s.status()
		if now := st.gateway("real"); err == nil && suppressed &&
			(now.State != "running" || now.LaunchID != before.LaunchID) {
			return
		}
		k.t.Errorf("a call to a healthy gateway: HTTP %d", code)
	}
}

// look is the gateway's process and what the host says of it.
func (k *soak) look() (proc, gatewayStatus) {
	k.t.Helper()
	st, err := k.s.status()
	if err != nil {
		k.t.Fatalf("the host does not answer: %v\n%s", err, k.s.logTail(60))
	}
	gw := st.gateway("real")
	for _, p := range k.s.processes() {
		if p.role == roleGateway && p.launch == gw.LaunchID {
			return p, gw
		}
	}
	k.t.Fatalf("no process of launch %s: %+v\n%s", gw.LaunchID, gw, k.s.logTail(60))
	return proc{}, gw
}

func (k *soak) plugin(name string) proc {
	for _, p := range k.s.processes() {
		if p.role == rolePlugin && p.name == name && p.alive() {
			return p
		}
	}
	return proc{}
}

func (k *soak) post(path string) {
	if code := k.postBody(path, map[string]any{"reason": "soak"}); code != http.StatusOK {
		k.t.Errorf("%s: HTTP %d\n%s", path, code, k.s.logTail(40))
	}
}

func (k *soak) postBody(path string, body any) int {
	code, err := k.s.call(context.Background(), realPatience, http.MethodPost, path, body, nil)
	if err != nil {
		k.t.Errorf("%s: %v", path, err)
	}
	return code
}

// recover waits until the gateway runs, every plugin does, and nothing but the breaker is not well.
func (k *soak) recover(kind string, began time.Time, another gone) {
	k.t.Helper()
	reasons := map[string]bool{}
	for deadline := time.Now().Add(realPatience); ; {
		why := k.unwell(another)
		if why == "" {
			break
		}
		reasons[why] = true
		if time.Now().After(deadline) {
			k.t.Fatalf("%v after %s: %s\n%s", realPatience, kind, why, k.s.logTail(120))
		}
		time.Sleep(100 * time.Millisecond) // a poll
	}
	took := time.Since(began)
	k.times[kind] = append(k.times[kind], took)
	if took > 45*time.Second {
		k.slow = append(k.slow,
			fmt.Sprintf("%.1f s after %s: %s", took.Seconds(), kind, strings.Join(slices.Sorted(maps.Keys(reasons)), "; ")))
	}
}

// gone is what a fault puts an end to: as long as status shows it the fault has not been seen, and nothing is well
// again.
type gone struct {
	launch, boot string
	plugin       int
}

func (k *soak) unwell(another gone) string {
	st, err := k.s.status()
	if err != nil {
		return err.Error()
	}
	gw := st.gateway("real")
	switch {
	case gw.State != "running" || !gw.Ready:
		return "state " + gw.State + " " + gw.Phase
	case gw.LaunchID == another.launch:
		return "still launch " + another.launch
	case another.boot != "" && gw.BootID == another.boot:
		return "still boot " + another.boot
	}
	for _, c := range gw.Conditions {
		if c.Code != "channels-suppressed" {
			return "condition " + c.Code
		}
	}
	for _, p := range st.Plugins {
		if p.State != "running" {
			return "plugin " + p.Name + " is " + p.State
		}
		if p.PID == another.plugin {
			return fmt.Sprintf("plugin %s still has pid %d", p.Name, p.PID)
		}
	}
	if found := listeners(k.s.gateways[0].port); len(found) != 1 || found[0] != gw.PID {
		return fmt.Sprintf("the port is held by %v, status says %d", found, gw.PID)
	}
	for _, p := range k.s.processes() {
		if p.role == roleGateway && p.launch != gw.LaunchID {
			return "another gateway lives: " + p.String()
		}
	}
	return ""
}

// sample measures the host, and looks for zombies of any process of the site.
func (k *soak) sample() {
	pid, _, _ := k.s.running()
	one := sample{at: time.Since(k.began), goroutines: k.goroutines()}
	one.rssKB, one.fds = usage(pid)
	one.zombies = len(k.zombies())
	k.samples = append(k.samples, one)
}

func (k *soak) goroutines() int {
	req, err := http.NewRequest(http.MethodGet, "http://gatehost/metrics", nil)
	if err != nil {
		k.t.Fatal(err)
	}
	resp, err := k.s.http.Do(req)
	if err != nil {
		k.t.Fatalf("metrics: %v", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		k.t.Fatalf("metrics: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "gatehost_host_goroutines "); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(rest))
			return n
		}
	}
	k.t.Fatal("metrics do not tell the goroutines")
	return 0
}

// zombies are ended children that no parent has waited for, of the site's processes.
func (k *soak) zombies() []int {
	ours := map[int]bool{}
	for _, p := range k.s.processes() {
		ours[p.pid] = true
	}
	entries, _ := os.ReadDir("/proc")
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if parent, _, state := statOf(pid); state == "Z" && ours[parent] {
			out = append(out, pid)
		}
	}
	return out
}

// end checks the last state and ends everything in order.
func (k *soak) end() {
	st, err := k.s.status()
	if gw := st.gateway("real"); err != nil || gw.State != "running" || !gw.Ready || len(gw.Conditions) != 0 {
		k.t.Errorf("at the end: %+v, %v", gw, err)
	}
	for deadline := time.Now().Add(patience); len(k.zombies()) > 0; {
		if time.Now().After(deadline) {
			k.t.Errorf("zombies stay: %v", k.zombies())
			break
		}
		time.Sleep(50 * time.Millisecond) // a poll: one that has just ended is waited for in a moment
	}
	k.post("/v1/gateways/real/stop")
	pid, _, exited := k.s.running()
	kill(pid, syscall.SIGTERM)
	select {
	case <-exited:
	case <-time.After(realPatience):
		k.t.Error("the host did not end on SIGTERM")
	}
	for deadline := time.Now().Add(patience); ; {
		left := k.s.processes()
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			k.t.Errorf("left at the end: %v", left)
			break
		}
		time.Sleep(50 * time.Millisecond) // a poll
	}
	left, _ := filepath.Glob(filepath.Join(k.s.state(), "run", "*"))
	commands, _ := filepath.Glob(filepath.Join(k.s.state(), "run", ".exec", "*"))
	left = slices.DeleteFunc(append(left, commands...), func(path string) bool { return filepath.Base(path) == ".exec" })
	if len(left) != 0 {
		k.t.Errorf("files of launches that are over: %v", left)
	}
}

// third is the medians of a third of the samples: 0 the first, 2 the last.
func (k *soak) third(n int) sample {
	size := len(k.samples) / 3
	part := k.samples[n*size : (n+1)*size]
	median := func(of func(sample) int) int {
		var all []int
		for _, s := range part {
			all = append(all, of(s))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return sample{
		rssKB: median(func(s sample) int { return s.rssKB }), fds: median(func(s sample) int { return s.fds }),
		goroutines: median(func(s sample) int { return s.goroutines }),
	}
}

// tell compares the last third with the first one and prints what was met.
func (k *soak) tell(seed uint64, duration time.Duration) {
	if len(k.samples) < 9 {
		k.t.Fatalf("only %d samples", len(k.samples))
	}
	if took := time.Since(k.began); took < duration {
		k.t.Errorf("it took %v, not %v", took, duration)
	}
	first, last := k.third(0), k.third(2)
	if last.rssKB > first.rssKB*5/4+(8<<10) {
		k.t.Errorf("the host grew from %d MB to %d MB", first.rssKB>>10, last.rssKB>>10)
	}
	if last.fds > first.fds+8 || last.goroutines > first.goroutines+12 {
		k.t.Errorf("leaked: %d open files and %d goroutines, then %d and %d", first.fds, first.goroutines, last.fds,
			last.goroutines)
	}
	if k.tripped == 0 || k.cleared == 0 {
		k.t.Errorf("the breaker was recognised %d times and its channels freed %d times", k.tripped, k.cleared)
	}
	met := 0
	for _, times := range k.times {
		met += len(times)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Seed %d: %d faults and requests in %v on one host. "+
		"The crash-loop breaker was recognised and its channels were freed %d times.\n", seed,
		met-len(k.times["first start"]), time.Since(k.began).Round(time.Second), k.cleared)
	fmt.Fprintf(&b, "Median of the host in the first and the last third: %d and %d MB resident, %d and %d open files, "+
		"%d and %d goroutines. No zombie and no orphan was left.\n\n",
		first.rssKB>>10, last.rssKB>>10, first.fds, last.fds, first.goroutines, last.goroutines)
	fmt.Fprintf(&b, "| what happened | times | all well again after, median | at most |\n|---|---|---|---|\n")
	for _, kind := range slices.Sorted(maps.Keys(k.times)) {
		times := k.times[kind]
		slices.Sort(times)
		fmt.Fprintf(&b, "| %s | %d | %.1f s | %.1f s |\n", kind, len(times), times[len(times)/2].Seconds(),
			times[len(times)-1].Seconds())
	}
	if len(k.slow) > 0 {
		fmt.Fprintf(&b, "\nWhat took longer than 45 s:\n")
		for _, text := range k.slow {
			fmt.Fprintf(&b, "- %s\n", text)
		}
	}
	k.t.Logf("\n%s", &b)
	if report := os.Getenv("SOAK_REPORT"); report != "" {
		if err := os.WriteFile(report, []byte(b.String()), 0o600); err != nil {
			k.t.Error(err)
		}
	}
}
