package conformance

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/shim/process"
)

// lifeChecks come last: they judge whole lifetimes of processes.
func lifeChecks() []Check {
	return []Check{
		{
			ID: "base/stdout", Kind: Base, Title: "stdout carries the handshake and nothing else; logs go to stderr",
			Row: "docs/plugins.md", process: true, try: lifeStdout,
		},
		{
			ID: "base/host-gone", Kind: Base, Title: "it ends within 2 s when the host goes",
			Row: "The host going away closes the plugin's stdin", process: true, try: lifeHostGone,
		},
		{
			ID: "base/host-gone-busy", Kind: Base, Title: "it ends within 2 s when the host goes during a call",
			Row: "The host going away closes the plugin's stdin", process: true, try: lifeHostGoneBusy,
		},
		{
			ID: "base/grandchild", Kind: Base, Title: "nothing that it started holds its pipes when it has ended",
			Row: "docs/plugins.md", process: true, try: lifeGrandchild,
		},
		{
			ID: "base/leaks-processes", Kind: Base, Title: "no process of it is left when it has ended",
			Row: "The host going away closes the plugin's stdin", process: true, try: lifeProcesses,
		},
		{
			ID: "base/leaks-files", Kind: Base,
			Title: "it leaves no temporary file, and its data does not grow with each start", Row: "Directories",
			process: true, try: lifeFiles,
		},
	}
}

// lifetimes are some whole lifetimes of a plugin, one after the other: started, asked, left by the host.
type lifetimes struct {
	err  error
	each []lifetime
	tmp  tree // TMPDIR before the first of them: what processes that were killed earlier left does not count
}

// lifetime is what was seen of one process.
type lifetime struct {
	busy     bool // a call was under way when the host ended
	ended    bool
	took     time.Duration
	drained  bool // its pipes ended with it
	left     int  // processes
	known    bool // whether left could be seen
	printed  []string
	sockets  []string        // what is left beside the socket
	files    map[string]tree // below each place
	lastWord string
}

const howManyLifetimes = 3

// held is how long a pipe may stay open after the end of the process.
const held = 5 * time.Second

func (rn *runner) lifetimes(ctx context.Context) *lifetimes {
	if rn.spans != nil {
		return rn.spans
	}
	rn.renew() // they use the same directories
	rn.spans = &lifetimes{}
	if dir, ok := rn.opener.Places()["tmp"]; ok {
		if rn.spans.tmp, rn.spans.err = look(dir); rn.spans.err != nil {
			return rn.spans
		}
	}
	for n := range howManyLifetimes {
		l, err := rn.live(ctx, n == 1)
		if err != nil {
			rn.spans.err = err
			break
		}
		rn.spans.each = append(rn.spans.each, l)
		if !l.ended {
			break // the others would do the same
		}
	}
	return rn.spans
}

func (rn *runner) live(ctx context.Context, busy bool) (lifetime, error) {
	p, err := rn.own(ctx)
	if err != nil {
		return lifetime{}, err
	}
	defer p.Close()
	if _, err := rn.ask(ctx, p); err != nil {
		return lifetime{}, skip("it does not answer a first question: %v", err)
	}
	l := lifetime{busy: busy}
	if busy {
		calls, cancel := context.WithCancel(ctx)
		defer cancel()
		rn.occupy(calls, p)
	}
	began := time.Now()
	p.CloseStdin()
	l.ended = bounded(ctx, hostGone+slack, p.Done())
	l.took = time.Since(began)
	if !l.ended {
		l.lastWord = lastWords(p)
		return l, ctx.Err()
	}
	l.drained = bounded(ctx, held, p.Drained())
	if l.left, l.known, err = leftBy(ctx, p); err != nil {
		return l, err
	}
	l.printed, l.sockets = p.Printed(), beside(p.SocketDir())
	l.files = map[string]tree{}
	for name, dir := range rn.opener.Places() {
		if err := makeDirs(dir); err != nil {
			return l, err
		}
		if l.files[name], err = look(dir); err != nil {
			return l, err
		}
	}
	return l, nil
}

// leftBy counts the processes that a plugin started and that live on after its end, and ends them, because no other
// process would. Those that end by themselves in a moment do not count. known is false on a platform that cannot tell.
func leftBy(ctx context.Context, p Process) (n int, known bool, err error) {
	if p.Mark() == "" {
		return 0, false, nil
	}
	for until := time.Now().Add(slack); ; {
		left, err := process.Find(process.Query{Env: p.Mark()})
		switch {
		case err != nil:
			return 0, false, nil //nolint:nilerr // that it cannot be seen is an answer
		case len(left) == 0:
			return 0, true, nil
		case time.Now().After(until):
			for _, id := range left {
				_ = id.Signal(syscall.SIGKILL)
			}
			return len(left), true, nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return 0, true, err
		}
	}
}

// programLink is what the link leads to that a host on Linux makes in a socket directory: by its name the process of a
// plugin is known.
const programLink = "/proc/self/fd/3"

// beside lists what is in a socket directory and is neither a socket nor of the host.
func beside(dir string) []string {
	var out []string
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if to, _ := os.Readlink(path); to == programLink { // "" for what is no link
			return nil
		}
		if err == nil && !d.IsDir() && d.Type()&os.ModeSocket == 0 {
			out = append(out, filepath.Base(path))
		}
		return nil
	})
	return out
}

// occupy begins calls that are under way when it returns; they end with ctx, or the plugin.
func (rn *runner) occupy(ctx context.Context, p Process) {
	if rn.info.Serves(plugin.KindClassifier) && rn.served(ctx, plugin.KindClassifier) {
		if v, err := openStream(ctx, p.Conn(), gatewayOfLines(), "busy"); err == nil {
			_, _ = v.judge(batchOf(1, "a line")) // and it stays open
		}
	}
	if rn.info.Serves(plugin.KindDoctor) && rn.served(ctx, plugin.KindDoctor) {
		go func() {
			r := longQuestion(&pb.DiagnoseRequest{Gateway: gatewayOfLines(), Incident: builtIn()[0].message()}, false)
			_, _ = rn.doctor(p).Diagnose(ctx, r)
		}()
		// the question is long, and is being sent; only its answer would prove more
		_ = pause(ctx, 100*time.Millisecond)
	}
}

// seen are the lifetimes to judge.
func (rn *runner) seen(ctx context.Context) ([]lifetime, error) {
	all := rn.lifetimes(ctx)
	if all.err != nil {
		return nil, all.err
	}
	return all.each, nil
}

func lifeStdout(ctx context.Context, rn *runner) error {
	all, err := rn.seen(ctx)
	if err != nil {
		return err
	}
	for _, l := range all {
		if len(l.printed) > 0 {
			return breach("log to stderr; in Go by pluginkit.Logger", "it prints to stdout: %q",
				strings.Join(l.printed, " | "))
		}
	}
	return nil
}

func lifeHostGone(ctx context.Context, rn *runner) error     { return rn.ended(ctx, false) }
func lifeHostGoneBusy(ctx context.Context, rn *runner) error { return rn.ended(ctx, true) }

func (rn *runner) ended(ctx context.Context, busy bool) error {
	all, err := rn.seen(ctx)
	if err != nil {
		return err
	}
	slowest, found := time.Duration(0), false
	for _, l := range all {
		if l.busy != busy {
			continue
		}
		found = true
		if !l.ended {
			return breach("end the process when its stdin ends", "%v after its stdin was closed it lives on%s",
				(hostGone + slack), l.lastWord)
		}
		slowest = max(slowest, l.took)
	}
	if !found {
		return skip("it did not come to that: see base/host-gone")
	}
	rn.noteDown("%d ms", slowest.Milliseconds())
	return nil
}

func lifeGrandchild(ctx context.Context, rn *runner) error {
	all, err := rn.seen(ctx)
	if err != nil {
		return err
	}
	for _, l := range all {
		if l.ended && !l.drained {
			return breach("give children other pipes; in Go start them by pluginkit.Command",
				"a process still holds its stdout or stderr %v after its end", held)
		}
	}
	return nil
}

func lifeProcesses(ctx context.Context, rn *runner) error {
	all, err := rn.seen(ctx)
	if err != nil {
		return err
	}
	known := false
	for _, l := range all {
		known = known || l.known
		if l.left > 0 {
			return breach("end your children when the host goes; in Go pluginkit.Command does with its context",
				"when it has ended %d processes that it started live on", l.left)
		}
	}
	if !known {
		return skip("this platform does not tell which processes a plugin started")
	}
	return nil
}

func lifeFiles(ctx context.Context, rn *runner) error {
	all, err := rn.seen(ctx)
	if err != nil {
		return err
	}
	for _, l := range all {
		if len(l.sockets) > 0 {
			return breach("PLUGIN_UNIX_SOCKET_DIR is for the socket", "it leaves in the directory of its socket: %s",
				strings.Join(l.sockets, ", "))
		}
		if left := added(rn.spans.tmp, l.files["tmp"]); len(left) > 0 {
			return breach("remove temporary files before you end, or keep data in the data directory",
				"it leaves in TMPDIR: %s", strings.Join(left, ", "))
		}
	}
	if len(all) < howManyLifetimes {
		return skip("it did not come to that: see base/host-gone")
	}
	for _, place := range slices.Sorted(maps.Keys(all[0].files)) {
		first, second := added(all[0].files[place], all[1].files[place]),
			added(all[1].files[place], all[2].files[place])
		if len(first) > 0 && len(second) > 0 {
			return breach("remove what a start makes, or reuse its name",
				"each start leaves more in its %s directory: %s, then %s", place, strings.Join(first, ", "),
				strings.Join(second, ", "))
		}
	}
	return nil
}

// added are the paths that are in after and not in before.
func added(before, after tree) []string {
	var out []string
	for _, path := range slices.Sorted(maps.Keys(after)) {
		if _, old := before[path]; !old {
			out = append(out, path)
		}
	}
	return out[:min(len(out), 8)]
}
