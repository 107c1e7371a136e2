package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/shim/process"
)

func launcherChecks() []Check {
	k := plugin.KindLauncher
	return []Check{
		{
			ID: "launcher/launch", Kind: k,
			Title: "a launched program runs with the command, environment and directory that were asked for",
			Row:   "Launcher.Launch, ProcessSpec", try: launchRuns,
		},
		{
			ID: "launcher/launch-again", Kind: k,
			Title: "the same launch id starts one process, however often and at the same time it is asked",
			Row:   "Launcher.Launch: idempotent by launch_id", try: launchAgain,
		},
		{
			ID: "launcher/launch-other-spec", Kind: k, Title: "a launch id with another spec is refused",
			Row: "Launcher.Launch: already_exists", try: launchOther,
		},
		{
			ID: "launcher/launch-refused", Kind: k, Title: "a program that is not there is not_found, and nothing lives",
			Row: "Launcher.Launch: not_found", try: launchRefused,
		},
		{
			ID: "launcher/list", Kind: k, Title: "List, Recover and Inspect agree about what runs, with its labels",
			Row: "Launcher.List, Recover, Inspect: idempotent", try: launcherList,
		},
		{
			ID: "launcher/unknown", Kind: k, Title: "an unknown launch is not_found, and releasing it is no error",
			Row: "Launcher: errors", try: launcherUnknown,
		},
		{
			ID: "launcher/output", Kind: k,
			Title: "each line of both outputs comes once and in order, also from a cursor in the middle",
			Row:   "Launcher.Output: idempotent by cursor", try: outputWhole,
		},
		{
			ID: "launcher/end", Kind: k, Title: "the exit comes after the last line, and with it nothing more",
			Row: "OutputResponse.end, End", try: outputEnd,
		},
		{
			ID: "launcher/signal", Kind: k,
			Title: "a signal reaches the program; unknown ones and ended programs are refused", Row: "Launcher.Signal",
			try: launcherSignal,
		},
		{
			ID: "launcher/stop", Kind: k, Title: "Stop asks, and a second Stop answers the same exit",
			Row: "Launcher.Stop: idempotent", try: stopAsks,
		},
		{
			ID: "launcher/stop-kills", Kind: k,
			Title: "after the grace Stop kills the whole tree, those who left it included",
			Row:   "Launcher.Stop: grace, then the whole tree", try: stopKills,
		},
		{
			ID: "launcher/release", Kind: k, Title: "what runs is not released; what has ended is forgotten",
			Row: "Launcher.Release: failed_precondition", try: launcherRelease,
		},
		{
			ID: "launcher/exec", Kind: k, Title: "a command gets its standard input and gives its lines and its exit code",
			Row: "Launcher.Exec", try: execRuns,
		},
		{
			ID: "launcher/exec-timeout", Kind: k, Title: "a command that takes too long ends with its whole tree",
			Row: "ExecRequest.timeout", try: execTimeout,
		},
		{
			ID: "launcher/exec-cancel", Kind: k, Title: "a command whose call is cancelled ends with its whole tree",
			Row: "Launcher.Exec: cancelling kills the whole tree", try: execCancel,
		},
		{
			ID: "launcher/recover", Kind: k, Title: "after kill -9 of the plugin another process takes up what runs",
			Row: "Launcher.Recover", process: true, try: recoverRuns,
		},
		{
			ID: "launcher/recover-output", Kind: k,
			Title: "across a kill -9 of the plugin no line is lost and none comes twice",
			Row:   "Launcher.Output: reopened at the cursor", process: true, try: recoverOutput,
		},
		{
			ID: "launcher/recover-exit", Kind: k,
			Title: "a program that ended while there was no plugin is told with its exit code and all its lines",
			Row:   "Launcher.Recover, Exit", process: true, try: recoverExit,
		},
		{
			ID: "launcher/lets-go", Kind: k, Title: "what it launched does not hold its end back",
			Row: "Gateways outlive the plugin", process: true, try: launcherLetsGo,
		},
		{
			ID: idHeartbeat, Kind: k, Title: "an output that has nothing to say sends a sign of life every 15 s",
			Row: "Launcher.Output: heartbeat 15 s", try: launcherHeartbeat,
		},
	}
}

// run is one launch of the child and everything that is needed to end it.
type run struct {
	rn  *runner
	dir string // the child's
	req launcher.LaunchRequest
}

const gatewayOfRuns = "verify"

// newRun prepares a launch, as the host does: its folder exists before Launch is called.
func (rn *runner) newRun(args ...string) (*run, error) {
	if len(rn.opts.Child) == 0 {
		return nil, skip("there is no program to launch: Options.Child is not set")
	}
	rn.runs++
	id := fmt.Sprintf("verify-%d-%d", os.Getpid(), rn.runs)
	r := &run{rn: rn, dir: filepath.Join(rn.opts.Dir, "launches", id)}
	if err := makeDirs(r.dir, filepath.Join(rn.opener.Places()["run"], id)); err != nil {
		return nil, err
	}
	r.req = launcher.LaunchRequest{
		LaunchID: id, Gateway: plugin.GatewayFacts{
			Name: gatewayOfRuns, Port: 18789, Command: rn.opts.Child,
			Profile: "plain",
		}, Process: r.command(args...),
		Grace: time.Second, OutputMaxBytes: 8 << 20, Labels: map[string]string{"verify": "yes"},
	}
	return r, nil
}

// ready is a run, or a place for commands, and the process that the checks share. End the run.
func (rn *runner) ready(ctx context.Context, args ...string) (*run, Process, error) {
	r, err := rn.newRun(args...)
	if err != nil {
		return nil, nil, err
	}
	p, err := rn.process(ctx)
	return r, p, err
}

// command is the child with its arguments.
func (r *run) command(args ...string) plugin.ProcessSpec {
	return plugin.ProcessSpec{
		Argv: slices.Concat(r.rn.opts.Child, []string{r.dir}, args), Cwd: r.dir,
		Env: []plugin.EnvVar{
			{Name: "PATH", Value: os.Getenv("PATH")},
			{Name: "HOME", Value: r.dir},
			{Name: "VERIFY_SECRET", Value: "a secret = with spaces", Secret: true},
		},
	}
}

// client is the launcher of a process.
func client(p Process) launcher.Launcher { return launcher.NewClient(p.Conn()) }

// call makes one call within its deadline. Its error is the breach of a call that should have succeeded.
func (rn *runner) call(
	ctx context.Context, p Process, name string, contract time.Duration,
	f func(context.Context, launcher.Launcher) error,
) error {
	bound, cancel := rn.within(ctx, contract)
	defer cancel()
	err := f(bound, client(p))
	if lost := rn.lost(p, name, err); lost != nil {
		return lost
	}
	if err != nil {
		return fmt.Errorf("%s fails: %w", name, err)
	}
	return nil
}

// launch starts the run and returns its instance.
func (r *run) launch(ctx context.Context, p Process) (launcher.Instance, error) {
	var got launcher.Launched
	err := r.rn.call(ctx, p, "Launcher.Launch", deadlineLaunch,
		func(ctx context.Context, l launcher.Launcher) (err error) {
			got, err = l.Launch(ctx, r.req)
			return err
		})
	if err == nil {
		err = r.begun(ctx, p)
	}
	return got.Instance, err
}

// pids are the processes that said that they began.
func (r *run) pids(file string) []int {
	data, err := os.ReadFile(filepath.Join(r.dir, file))
	if err != nil {
		return nil
	}
	var out []int
	for line := range strings.Lines(string(data)) {
		if n, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && strings.HasSuffix(line, "\n") {
			out = append(out, n)
		}
	}
	return out
}

// goOn lets a program that holds end by itself.
func (r *run) goOn() error { return os.WriteFile(filepath.Join(r.dir, "go"), nil, 0o600) }

// end stops and releases a run in any state; its program ends at the latest when its directory is removed.
func (r *run) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deadlineChange)
	defer cancel()
	p, err := r.rn.process(ctx)
	if err == nil {
		_, _ = client(p).Stop(ctx, r.req.LaunchID, 0)
		_ = client(p).Release(ctx, r.req.LaunchID)
	}
	_ = os.RemoveAll(r.dir)
}

// launched runs a child for one check.
func (rn *runner) launched(
	ctx context.Context, args []string, try func(p Process, r *run, i launcher.Instance) error,
) error {
	r, p, err := rn.ready(ctx, args...)
	if err != nil {
		return err
	}
	defer r.end(ctx)
	i, err := r.launch(ctx, p)
	if err != nil {
		return err
	}
	return try(p, r, i)
}

// treeGone is how long the end of a tree may take to show.
const treeGone = 15 * time.Second

// gone waits until processes have ended.
func gone(ctx context.Context, pids []int, what string) error {
	ctx, cancel := context.WithTimeout(ctx, treeGone)
	defer cancel()
	for _, pid := range pids {
		id, err := process.Identify(pid)
		if err != nil {
			continue // it is gone, or cannot be seen here
		}
		if id.WaitGone(ctx) != nil {
			return breach("the whole tree ends, those with a session of their own included", "%s process %d lives on",
				what, pid)
		}
	}
	return nil
}

func launchRuns(ctx context.Context, rn *runner) error {
	return rn.launched(ctx, []string{"env", "lines=1", "hold"}, func(p Process, r *run, i launcher.Instance) error {
		if pids := r.pids("starts"); i.Phase != launcher.PhaseRunning || i.PID != pids[0] {
			return breach("Launch returns when the process exists",
				"Launch answers phase %s and pid %d; the program's pid is %d", i.Phase, i.PID, pids[0])
		}
		o, err := r.read(ctx, p, 0, func(o *output) bool { return o.has("out 1") })
		if err != nil {
			return err
		}
		want := map[string]bool{"cwd " + r.dir: true}
		for _, v := range r.req.Process.Env {
			want["env "+v.Name+"="+v.Value] = true
		}
		for _, l := range o.lines {
			name, _, _ := strings.Cut(strings.TrimPrefix(l.Text, "env "), "=")
			known := want[l.Text] || name == "GATEHOST_LAUNCH_ID" || name == "GATEHOST_LAUNCH_MARK" || name == "PWD"
			if strings.HasPrefix(l.Text, "env ") && !known {
				return breach("the environment is complete: add GATEHOST_LAUNCH_ID and GATEHOST_LAUNCH_MARK only",
					"the program has the variable %s, which was not asked for", name)
			}
			delete(want, l.Text)
		}
		for text := range want {
			name, _, _ := strings.Cut(text, "=")
			return breach("pass on what ProcessSpec says", "the program does not have the %s that was asked for", name)
		}
		return nil
	})
}

func launchAgain(ctx context.Context, rn *runner) error {
	r, p, err := rn.ready(ctx, "hold")
	if err != nil {
		return err
	}
	defer r.end(ctx)
	const callers = 4
	pids, errs := make([]int, callers), make([]error, callers)
	var calls sync.WaitGroup
	for n := range callers {
		calls.Go(func() {
			i, err := r.launch(ctx, p)
			pids[n], errs[n] = i.PID, err
		})
	}
	calls.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	again, err := r.launch(ctx, p)
	if err != nil {
		return err
	}
	if err := pause(ctx, settled/2); err != nil { // a second process would begin now
		return err
	}
	if starts := r.pids("starts"); len(starts) != 1 {
		return breach("look for the launch id before you start anything, and let callers of one id wait for each other",
			"%d calls with one launch id started %d processes", callers+1, len(starts))
	}
	for _, pid := range append(pids, again.PID) {
		if pid != pids[0] {
			return breach("answer the instance of the first call", "calls with one launch id answer the pids %v and %d",
				pids, again.PID)
		}
	}
	var got launcher.Launched
	err = rn.call(ctx, p, "Launcher.Launch", deadlineLaunch,
		func(ctx context.Context, l launcher.Launcher) (err error) {
			got, err = l.Launch(ctx, r.req)
			return err
		})
	if err == nil && !got.AlreadyLaunched {
		err = breach("set already_launched",
			"a second call with one launch id does not say that it was launched already")
	}
	return err
}

func launchOther(ctx context.Context, rn *runner) error {
	return rn.launched(ctx, []string{"hold"}, func(p Process, r *run, _ launcher.Instance) error {
		other := r.req
		other.Process = r.command("hold", "lines=1")
		bound, cancel := rn.within(ctx, deadlineLaunch)
		defer cancel()
		_, err := client(p).Launch(bound, other)
		if lost := rn.lost(p, "Launcher.Launch", err); lost != nil {
			return lost
		}
		if fault.CodeOf(err) != fault.AlreadyExists {
			return breach("answer already_exists", "a launch id that runs, with another command: %s", outcome(err))
		}
		return nil
	})
}

// outcome says how a call ended that should have ended otherwise.
func outcome(err error) string {
	if err == nil {
		return "the call succeeds"
	}
	return fmt.Sprintf("the call fails with %s: %v", fault.CodeOf(err), err)
}

func launchRefused(ctx context.Context, rn *runner) error {
	r, p, err := rn.ready(ctx)
	if err != nil {
		return err
	}
	defer r.end(ctx)
	r.req.Process.Argv = []string{filepath.Join(r.dir, "no-such-program")}
	bound, cancel := rn.within(ctx, deadlineLaunch)
	defer cancel()
	_, err = client(p).Launch(bound, r.req)
	if lost := rn.lost(p, "Launcher.Launch", err); lost != nil {
		return lost
	}
	if fault.CodeOf(err) != fault.NotFound {
		return breach("answer not_found", "the launch of a program that is not there: %s", outcome(err))
	}
	l, err := client(p).List(bound, gatewayOfRuns)
	if err != nil {
		return fmt.Errorf("Launcher.List fails: %w", err) //nolint:staticcheck // it is a name
	}
	for _, i := range l.Instances {
		if i.LaunchID == r.req.LaunchID && i.Live() {
			return breach("what never came to a process is failed", "List shows a launch that failed as %s", i.Phase)
		}
	}
	return nil
}

func launcherList(ctx context.Context, rn *runner) error {
	return rn.launched(ctx, []string{"hold"}, func(p Process, r *run, i launcher.Instance) error {
		var list, none launcher.Listing
		var taken launcher.Instance
		var seen launcher.Inspection
		err := rn.call(ctx, p, "Launcher.List, Recover or Inspect", deadlineQuick,
			func(ctx context.Context, l launcher.Launcher) (err error) {
				if list, err = l.List(ctx, gatewayOfRuns); err != nil {
					return err
				}
				if none, err = l.List(ctx, "another-gateway"); err != nil {
					return err
				}
				if taken, err = l.Recover(ctx, r.req.LaunchID); err != nil {
					return err
				}
				seen, err = l.Inspect(ctx, r.req.LaunchID)
				return err
			})
		if err != nil {
			return err
		}
		at := slices.IndexFunc(list.Instances, func(x launcher.Instance) bool { return x.LaunchID == r.req.LaunchID })
		if at < 0 {
			return breach("List finds running and ended instances, also of other processes",
				"List does not show launch %s, which runs", r.req.LaunchID)
		}
		if slices.ContainsFunc(none.Instances, func(x launcher.Instance) bool { return x.LaunchID == r.req.LaunchID }) {
			return breach("with a gateway's name List shows that gateway's only",
				"List for another gateway shows launch %s", r.req.LaunchID)
		}
		for name, x := range map[string]launcher.Instance{
			"List": list.Instances[at], "Recover": taken,
			"Inspect": seen.Instance,
		} {
			if x.PID != i.PID || x.Phase != launcher.PhaseRunning || x.StartTime != i.StartTime ||
				x.Gateway != gatewayOfRuns || x.Labels["verify"] != "yes" {
				return breach("the facts about an instance are the same everywhere",
					"%s answers pid %d, phase %s, gateway %q, labels %v; Launch answered pid %d", name, x.PID, x.Phase,
					x.Gateway, x.Labels, i.PID)
			}
		}
		return nil
	})
}

func launcherUnknown(ctx context.Context, rn *runner) error {
	p, err := rn.process(ctx)
	if err != nil {
		return err
	}
	const id = "verify-no-such-launch"
	for name, f := range map[string]func(context.Context, launcher.Launcher) error{
		"Recover": func(ctx context.Context, l launcher.Launcher) error { _, err := l.Recover(ctx, id); return err },
		"Inspect": func(ctx context.Context, l launcher.Launcher) error { _, err := l.Inspect(ctx, id); return err },
		"Signal":  func(ctx context.Context, l launcher.Launcher) error { return l.Signal(ctx, id, "SIGTERM") },
		"Stop":    func(ctx context.Context, l launcher.Launcher) error { _, err := l.Stop(ctx, id, 0); return err },
		"Output": func(ctx context.Context, l launcher.Launcher) error {
			return l.Output(ctx, launcher.OutputRequest{LaunchID: id}, func(launcher.OutputItem) error { return nil })
		},
	} {
		bound, cancel := rn.within(ctx, deadlineQuick)
		err := f(bound, client(p))
		cancel()
		if lost := rn.lost(p, "Launcher."+name, err); lost != nil {
			return lost
		}
		if fault.CodeOf(err) != fault.NotFound {
			return breach("answer not_found", "%s of an unknown launch: %s", name, outcome(err))
		}
	}
	return rn.call(ctx, p, "Launcher.Release of an unknown launch", deadlineQuick,
		func(ctx context.Context, l launcher.Launcher) error {
			return l.Release(ctx, id)
		})
}
