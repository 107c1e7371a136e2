//go:build linux

package chaos_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// asked is an operation and what came of it.
type asked struct {
	operation
	mu         sync.Mutex
	began      time.Time
	stage      string // what is being waited for now; empty before and after
	generation int    // the host that answered last
	answered   bool
	said       string
	stopped    bool // its last word was a stop that was done
	refused    bool // its last word was not done: something of it may go on
}

func (a *asked) enter(stage string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stage = stage
}

func (a *asked) now() (stage string, refused bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stage, a.refused
}

func (a *asked) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return fmt.Sprintf("%s -> %s", a.operation, a.said)
}

// happened is a fault and whom it met.
type happened struct {
	fault
	victims []proc
	during  map[string]string // by gateway: what was under way with it
	present map[string]proc   // by gateway: its process
	struck  time.Time
	host    int  // generation
	hung    bool // a plugin that did not answer was still there at the end
}

func (h *happened) String() string {
	met := make([]string, len(h.victims))
	for i, v := range h.victims {
		met[i] = fmt.Sprintf("%s %s %d", v.role, v.name, v.pid)
	}
	return fmt.Sprintf("%s (during %v) -> %s", h.fault, h.during, strings.Join(met, ", "))
}

// trial is an episode as it goes.
type trial struct {
	s       *site
	seed    uint64
	e       episode
	before  map[string]proc   // the gateways' main processes
	shims   map[string]string // by gateway: the identity of the shim
	first   int               // generation of the host at the beginning
	asked   []*asked
	met     []*happened
	settled time.Duration // after the last of it

	mu     sync.Mutex     // guards the rest
	ended  map[int]string // generations whose end was ours, and how
	alone  []string       // hosts that ended by themselves
	broken []string       // what went wrong in the middle
}

func (t *trial) complain(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broken = append(t.broken, fmt.Sprintf(format, args...))
}

// run does all of it at the same time and returns when every operation has ended and a host runs.
func (t *trial) run() {
	t.s.note("%s", t.e)
	_, t.first, _ = t.s.running()
	t.before, t.shims, t.ended = map[string]proc{}, map[string]string{}, map[int]string{}
	launches := map[string]string{}
	for _, p := range t.s.processes() {
		if p.role == roleGateway {
			t.before[p.name], launches[p.launch] = p, p.name
		}
	}
	for _, p := range t.s.processes() {
		if p.role == roleShim {
			t.shims[launches[p.launch]] = p.started + "/" + fmt.Sprint(p.pid)
		}
	}
	var doing, keeping sync.WaitGroup
	for _, o := range t.e.operations {
		a := &asked{operation: o}
		t.asked = append(t.asked, a)
		doing.Go(func() {
			time.Sleep(o.at) // its moment in the plan
			t.operate(a)
		})
	}
	for i, f := range t.e.faults {
		h := &happened{fault: f}
		t.met = append(t.met, h)
		doing.Go(func() {
			time.Sleep(f.at)
			t.strike(h, rand.New(rand.NewPCG(t.seed, uint64(t.e.number)<<8|uint64(i)|1<<63)))
		})
	}
	done := make(chan struct{})
	keeping.Go(func() { t.keep(done) })
	doing.Wait()
	close(done)
	keeping.Wait()
}

// keep starts the next host whenever one has ended, as a service manager would.
func (t *trial) keep(done <-chan struct{}) {
	for i := 0; ; i++ {
		_, generation, exited := t.s.running()
		select {
		case <-exited:
		default:
			select {
			case <-exited:
			case <-done:
				select {
				case <-exited: // in the last moment
				default:
					return
				}
			}
		}
		t.mu.Lock()
		if t.ended[generation] == "" {
			t.alone = append(t.alone, fmt.Sprintf("host %d ended by itself", generation))
		}
		t.mu.Unlock()
		time.Sleep(t.e.revive[min(i, len(t.e.revive)-1)])
		if err := t.s.startHost(); err != nil {
			t.complain("cannot start a host: %v", err)
			return
		}
	}
}

func (t *trial) operate(a *asked) {
	a.mu.Lock()
	a.began = time.Now()
	if a.kind == "repair" {
		a.stage = a.kind // already while its configuration is being broken
	}
	a.mu.Unlock()
	switch a.kind {
	case "stop", "restart":
		t.command(a, a.kind)
	case "cycle":
		t.command(a, "stop")
		t.command(a, "start")
	case "repair":
		if err := t.breakConfig(a.gateway); err != nil {
			t.complain("cannot break a configuration: %v", err)
			return
		}
		t.command(a, "repair")
	case "rpc":
		a.enter("rpc")
		t.ask(a, "/v1/gateways/"+a.gateway+"/rpc", map[string]any{"method": "health", "timeoutMs": 5000})
	case "plugin restart":
		a.enter("plugin restart")
		t.ask(a, "/v1/plugins/"+a.gateway+"/restart", map[string]any{})
	case "host exit":
		a.enter("host exit")
		pid, generation, exited := t.s.running()
		t.mu.Lock()
		if t.ended[generation] == "" {
			t.ended[generation] = "exit"
		}
		t.mu.Unlock()
		kill(pid, syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(t.s.patience()):
			t.complain("host %d did not end on SIGTERM in %v", generation, t.s.patience())
			kill(pid, syscall.SIGKILL)
		}
	}
	a.enter("")
}

// command gives a command and notes what was said. A repair is the restart of a gateway whose configuration is broken.
func (t *trial) command(a *asked, stage string) {
	a.enter(stage)
	verb := stage
	if stage == "repair" {
		verb = "restart"
	}
	ok := t.ask(a, "/v1/gateways/"+a.gateway+"/"+verb, map[string]any{"reason": "chaos"})
	a.mu.Lock()
	a.stopped, a.refused = ok && verb == "stop", !ok
	a.mu.Unlock()
}

// ask reports whether it was done.
func (t *trial) ask(a *asked, path string, body any) bool {
	_, generation, _ := t.s.running()
	var answer struct {
		Outcome string   `json:"outcome"`
		Error   *failure `json:"error"`
		Code    string   `json:"code"`
		Detail  string   `json:"detail"`
	}
	began := time.Now()
	code, err := t.s.call(context.Background(), t.s.patience(), http.MethodPost, path, body, &answer)
	if err != nil && time.Since(began) >= t.s.patience() {
		t.complain("%s got no answer in %v", a.operation, t.s.patience())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answered = err == nil
	a.generation = generation
	word := fmt.Sprintf("HTTP %d %s%s", code, answer.Outcome, answer.Code)
	if answer.Error != nil {
		word += " " + answer.Error.Code + ": " + answer.Error.Message
	}
	if err != nil {
		word = err.Error()
	}
	if a.said != "" {
		a.said += ", "
	}
	a.said += fmt.Sprintf("%s of host %d: %s (%d ms)", a.stage, generation, word, time.Since(began).Milliseconds())
	return err == nil && code == http.StatusOK &&
		(answer.Outcome == "applied" || answer.Outcome == "joined" || answer.Outcome == "deferred")
}

// breakConfig adds a key that the gateway refuses and its doctor removes.
func (t *trial) breakConfig(name string) error {
	path := filepath.Join(t.s.gatewayDir(name), "openclaw.json")
	config := map[string]any{"gateway": map[string]any{"mode": "local"}}
	if data, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(data, &config) // what cannot be read is replaced
	}
	config["thisKeyIsUnknown"] = true
	data, err := json.Marshal(config)
	if err == nil {
		err = os.WriteFile(path+".new", data, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	return err
}

// strike does what a fault says.
func (t *trial) strike(h *happened, r *rand.Rand) {
	h.struck = time.Now()
	_, h.host, _ = t.s.running()
	h.during, h.present = t.during(nil), map[string]proc{}
	for _, p := range t.s.processes() {
		if p.role == roleGateway {
			h.present[p.name] = p
		}
	}
	for name, stage := range t.during(h.present) { // what ended during the look was under way
		if h.during[name] == "stopped" {
			h.during[name] = stage
		}
	}
	switch h.kind {
	case "disk full":
		free, err := t.s.fill()
		if err != nil {
			t.complain("cannot fill the disk: %v", err)
		}
		if free != nil {
			time.Sleep(h.hold) // so long it is full
			free()
		}
		return
	case "plugin hangs":
		t.hang(h)
		return
	}
	h.victims = t.victims(h.fault)
	r.Shuffle(len(h.victims), func(i, j int) { h.victims[i], h.victims[j] = h.victims[j], h.victims[i] })
	var gone <-chan struct{}
	for _, v := range h.victims {
		if pid, generation, exited := t.s.running(); v.role == roleHost && v.pid == pid {
			t.mu.Lock()
			if t.ended[generation] == "" {
				t.ended[generation] = "kill"
			}
			t.mu.Unlock()
			gone = exited
		}
		kill(v.pid, syscall.SIGKILL)
	}
	if gone != nil {
		<-gone // so that the next host is started in this episode
	}
}

// hang stops a plugin for a while, or until the host has found out.
func (t *trial) hang(h *happened) {
	for _, p := range t.s.processes() {
		if p.role != rolePlugin || p.name != h.who {
			continue
		}
		h.victims = []proc{p}
		kill(p.pid, syscall.SIGSTOP)
		_, generation, _ := t.s.running()
		for end := time.Now().Add(h.hold); time.Now().Before(end) && p.alive(); {
			time.Sleep(20 * time.Millisecond) // a poll
		}
		_, now, _ := t.s.running()
		h.hung = p.alive() && now == generation && h.hold >= 30*time.Second
		if p.alive() {
			kill(p.pid, syscall.SIGCONT)
		}
		return
	}
}

// during is what is under way with each gateway; present are their processes.
func (t *trial) during(present map[string]proc) map[string]string {
	out := map[string]string{}
	for _, g := range t.s.gateways {
		out[g.name] = "stopped"
		if _, up := present[g.name]; up {
			out[g.name] = "running"
		}
	}
	for _, a := range t.asked {
		stage, refused := a.now()
		switch {
		case stage == "" && refused:
			out[a.gateway] = a.kind
		case stage == "":
		case a.kind == "plugin restart" || a.kind == "host exit":
			for name, was := range out {
				if was == "running" {
					out[name] = stage
				}
			}
		default:
			out[a.gateway] = stage
		}
	}
	return out
}

// victims are the processes that a fault means, as they are now.
func (t *trial) victims(f fault) []proc {
	all := t.s.processes()
	mine := map[string]bool{} // launches of the gateway that is meant
	for _, p := range all {
		if f.who != "" && p.name == f.who && p.launch != "" {
			mine[p.launch] = true
		}
	}
	pid, _, _ := t.s.running()
	meant := strings.Split(f.kind, "+")
	return slices.DeleteFunc(all, func(p proc) bool {
		for _, what := range meant {
			switch {
			case what == "everything",
				what == "host" && p.pid == pid,
				what == "plugin" && p.role == rolePlugin && p.name == f.who,
				what == "plugins" && p.role == rolePlugin,
				what == "shim" && p.role == roleShim && mine[p.launch],
				what == "shims" && (p.role == roleShim || p.role == roleCommand && strings.HasPrefix(p.args, "gatehost-shim")),
				what == "gateway" && p.role == roleGateway && p.name == f.who:
				return false
			}
		}
		return true
	})
}

// struck reports whether a process was among the victims of a kill.
func (t *trial) struck(match func(proc) bool) bool {
	for _, h := range t.met {
		if h.kind != "plugin hangs" && slices.ContainsFunc(h.victims, match) {
			return true
		}
	}
	return false
}

func (t *trial) had(kind string) bool {
	return slices.ContainsFunc(t.met, func(h *happened) bool { return h.kind == kind })
}

// after reports whether an operation on a gateway was begun after a moment.
func (t *trial) after(name string, moment time.Time) bool {
	return slices.ContainsFunc(t.asked, func(a *asked) bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.gateway == name && a.kind != "rpc" && a.began.After(moment)
	})
}

// operated is the last operation that changes a gateway, if there was one.
func (t *trial) operated(name string) *asked {
	for _, a := range slices.Backward(t.asked) {
		if a.gateway == name && a.kind != "rpc" {
			return a
		}
	}
	return nil
}

func (t *trial) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", t.e)
	for _, a := range t.asked {
		fmt.Fprintf(&b, "  asked: %s\n", a)
	}
	for _, h := range t.met {
		fmt.Fprintf(&b, "  fault: %s\n", h)
	}
	fmt.Fprintf(&b, "  hosts: %v\n", t.ended)
	return b.String()
}
