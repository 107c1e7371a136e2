package lifecycle_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
)

var update = flag.Bool("update", false, "write docs/lifecycle.md and the scenarios")

// TestScenarios plays testdata/scenarios/*.txt. A line that begins with # is a comment, an indented line is what the
// machine did, every other line is an input (see inputs), with the time that passes before it: "+5s process exited code
// 1". Timers that are due before an input fire first. With -update the indented lines are written anew.
func TestScenarios(t *testing.T) {
	paths, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d scenarios, %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if got == string(text) {
				return
			}
			if !*update {
				t.Fatalf("%s does not show the machine: go test ./host/internal/lifecycle -run Scenarios -update\n%s", path, got)
			}
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil { //nolint:gosec // a test's data
				t.Fatal(err)
			}
		})
	}
}

// TestScenariosAreInTheDocument: docs/lifecycle.md names each scenario.
func TestScenariosAreInTheDocument(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/lifecycle.md")
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if link := "(../host/internal/lifecycle/" + filepath.ToSlash(path) + ")"; !strings.Contains(string(doc), link) {
			t.Errorf("docs/lifecycle.md has no link %s", link)
		}
	}
}

// play returns the text of a scenario with what the machine does below each input.
func play(t *testing.T, text string) string {
	t.Helper()
	s := &scenario{t: t}
	s.reset()
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "    "): // of the last time
		case line == "", strings.HasPrefix(line, "#"):
			s.out.WriteString(line + "\n")
		default:
			s.out.WriteString(line + "\n")
			s.input(line)
		}
	}
	return s.out.String()
}

// scenario is one machine, and what it did in words.
type scenario struct {
	t      *testing.T
	out    strings.Builder
	p      lc.Policy
	s      lc.State
	now    time.Time
	timers map[lc.OpID]time.Time
	opened map[lc.OpID]lc.Op // all so far
	names  map[lc.CommandID]string
	silent bool // on the way to a phase
}

func (s *scenario) reset() {
	s.p, s.s, s.now = lc.DefaultPolicy(), lc.New(), t0
	s.timers, s.opened, s.names = map[lc.OpID]time.Time{}, map[lc.OpID]lc.Op{}, map[lc.CommandID]string{}
}

func (s *scenario) say(format string, args ...any) {
	if !s.silent {
		fmt.Fprintf(&s.out, "    "+format+"\n", args...)
	}
}

// input plays one line.
func (s *scenario) input(line string) {
	s.t.Helper()
	words := line
	if strings.HasPrefix(line, "+") {
		span, rest, _ := strings.Cut(line[1:], " ")
		d, err := time.ParseDuration(span)
		if err != nil {
			s.t.Fatalf("%q: %v", line, err)
		}
		fired := s.pass(d)
		words = rest
		if fired && words != "" {
			s.say("%s: %s", s.now.Sub(t0), words)
		}
	}
	if words == "" {
		return
	}
	if words == "new gateway" {
		s.reset()
		return
	}
	if phase, ok := strings.CutPrefix(words, "new gateway in phase "); ok {
		s.reset()
		s.walk(lc.Phase(phase))
		return
	}
	if setting, ok := strings.CutPrefix(words, "set "); ok {
		s.set(setting)
		return
	}
	if id, ok := strings.CutPrefix(words, "launches without trouble: "); ok {
		s.launches(id)
		return
	}
	in, err := s.read(words)
	if err != nil {
		s.t.Fatalf("%q: %v", line, err)
	}
	s.feed(in)
}

// launches feeds the answers from recovering to a process that is launched, and says only that.
func (s *scenario) launches(id string) {
	s.t.Helper()
	from := s.s.Phase
	s.silent = true
	for _, words := range []string{
		"recovered: nothing", "services cleared", "port: free", "hooks done", "prepared: " + id, "aligned", "launched",
	} {
		s.input("+100ms " + words)
	}
	s.silent = false
	s.say("%s -> ... -> %s", from, s.s.Phase)
	s.say("do: probe the port")
}

// set changes the policy.
func (s *scenario) set(setting string) {
	s.t.Helper()
	switch setting {
	case "start attempts 1":
		s.p.StartAttempts = 1
	case "reconnect attempts 2":
		s.p.ReconnectAttempts = 2
	case "repair ask":
		s.p.Repair = lc.RepairAsk
	case "on conflict fail":
		s.p.OnConflict = lc.ConflictFail
	default:
		s.t.Fatalf("there is no setting %q", setting)
	}
}

// pass lets time follow: timers that are due fire, in their order. It says whether any did.
func (s *scenario) pass(d time.Duration) (fired bool) {
	s.t.Helper()
	end := s.now.Add(d)
	for n := 0; ; n++ {
		if n > 1000 {
			s.t.Fatal("timers fire without end")
		}
		var next lc.OpID
		for id, at := range s.timers {
			if !at.After(end) && (next == 0 || at.Before(s.timers[next]) || at.Equal(s.timers[next]) && id < next) {
				next = id
			}
		}
		if next == 0 {
			s.now = end
			return n > 0
		}
		s.now = s.timers[next]
		s.say("%s: timer %s", s.now.Sub(t0), timerName(s.s.Pending[next].Kind))
		delete(s.timers, next)
		s.feed(lc.Answer{Op: next, Report: lc.TimerFired{}})
	}
}

func timerName(k lc.OpKind) string { return strings.TrimPrefix(string(k), "timer-") }

// walk feeds the answers of a start without trouble until a phase is reached, without a word.
func (s *scenario) walk(to lc.Phase) {
	s.t.Helper()
	s.silent = true
	defer func() { s.silent = false }()
	way := []string{
		"start", "recovered: nothing", "services cleared", "port: free", "hooks done", "prepared: A", "aligned",
		"launched", "port: ready", "session opened",
	}
	if to == lc.PhaseDiagnosing || to == lc.PhaseRepairing || to == lc.PhaseRetryWait {
		way = append(way[:8], "process exited: code 1", "ended")
	}
	switch to {
	case lc.PhaseRepairing:
		way = append(way, "diagnosed: plan fix, the configuration is invalid")
	case lc.PhaseRetryWait:
		way = append(way, "diagnosed: nothing")
	case lc.PhaseVerifying:
		way = append(way, "+3m sign of life", "+6m")
	case lc.PhaseReloading:
		way = append(way, "+1m reload")
	case lc.PhaseDraining:
		way = append(way, "stop --drain")
	case lc.PhaseBackoff:
		way = append(way, "process exited: code 1", "ended")
	case lc.PhaseError:
		way = append(way[:2], "services failed: another service manager has it")
	default:
	}
	for _, words := range way {
		if s.s.Phase == to && words != "+6m" {
			return
		}
		s.input(words)
	}
	if s.s.Phase != to {
		s.t.Fatalf("the way to %s ends in %s", to, s.s.Phase)
	}
}

// feed gives an input to the machine, and says what that changes.
func (s *scenario) feed(in lc.Input) {
	s.t.Helper()
	before := s.s
	after, effects := lc.Step(s.p, before, in, s.now)
	s.s = after
	maps.Copy(s.opened, after.Pending)
	if before.Phase != after.Phase {
		public := ""
		if before.Public() != after.Public() {
			public = fmt.Sprintf(" (now %s)", after.Public())
		}
		s.say("%s -> %s%s", before.Phase, after.Phase, public)
	}
	if e := after.Err; e != nil && (before.Err == nil || before.Phase != lc.PhaseError) && after.Phase == lc.PhaseError {
		s.say("error %s: %s", e.Code, e.Message)
		if e.Hint != "" {
			s.say("hint: %s", e.Hint)
		}
	}
	for _, c := range after.Conditions {
		if !slices.ContainsFunc(before.Conditions, func(had lc.Condition) bool { return had.Code == c.Code }) {
			s.say("condition %s: %s", c.Code, c.Message)
		}
	}
	for _, e := range effects {
		s.effect(before, e)
	}
}

// effect says what the engine has to do. Timers that are cancelled are not mentioned.
func (s *scenario) effect(before lc.State, e lc.Effect) {
	s.t.Helper()
	switch e := e.(type) {
	case lc.SetTimer:
		s.timers[e.Op] = s.now.Add(e.After)
		s.say("timer %s in %v", timerName(s.s.Pending[e.Op].Kind), e.After)
	case lc.Cancel:
		if _, timer := s.timers[e.Op]; timer {
			delete(s.timers, e.Op)
			return
		}
		s.say("cancel %s", before.Pending[e.Op].Kind)
	case lc.Recover:
		s.say("do: ask the launcher for earlier launches")
	case lc.ClearServices:
		s.say("do: clear services")
	case lc.ProbePort:
		if e.OnlyFree {
			s.say("do: ask whether the port is free")
			return
		}
		s.say("do: ask who has the port")
	case lc.Preflight:
		s.say("do: look for what would make the next start fail")
	case lc.RunHooks:
		s.say("do: run hooks")
	case lc.PrepareLaunch:
		s.say("do: make a launch identity")
	case lc.AlignConfig:
		s.say("do: align the configuration with launch %s", e.Launch)
	case lc.Launch:
		s.say("do: launch %s", e.Launch)
	case lc.Inspect:
		s.say("do: inspect launch %s", e.Launch)
	case lc.ProbeReady:
		s.say("do: probe the port")
	case lc.OpenSession:
		s.say("do: open session %d", e.Session)
	case lc.VerifySession:
		s.say("do: verify session %d by a call", e.Session)
	case lc.Reload:
		s.say("do: ask the gateway to reload")
	case lc.Drain:
		s.say("do: drain")
	case lc.Shutdown:
		s.say("do: ask the gateway to shut down")
	case lc.Terminate:
		s.say("do: end launch %s, with %v of grace", e.Launch, e.Grace)
	case lc.Diagnose:
		s.say("do: diagnose %s (attempt %d)", e.Incident.Problem.Code, e.Incident.Attempt)
	case lc.Repair:
		s.say("do: repair by plan %s", e.Plan)
	case lc.Watch:
		s.say("watch launch %s", e.Launch)
	case lc.Unwatch:
		s.say("unwatch launch %s", e.Launch)
	case lc.CloseSession:
		s.say("close session %d", e.Session)
	case lc.Release:
		s.say("release launch %s", e.Launch)
	case lc.Reply:
		why := ""
		if e.Outcome.Problem != nil {
			why = ": " + e.Outcome.Problem.Message
		}
		s.say("reply to %s: %s%s", s.names[e.Command], e.Outcome.Kind, why)
	case lc.Ignored:
		s.say("ignored: %s", e.Reason)
	default:
		s.t.Fatalf("no words for %T", e)
	}
}

// command names a request of an operator.
func (s *scenario) command(words string) lc.CommandID {
	id := lc.CommandID(len(s.names) + 1)
	s.names[id] = fmt.Sprintf("%q", words)
	return id
}

// word is a kind of input: the pattern of its words, and how it is made of them.
type word struct {
	pattern string
	make    func(s *scenario, m []string) (lc.Input, error)
}

// inputs are all that a scenario can say. A colon is followed by details.
func inputs() []word {
	ask := func(pattern string, in func(id lc.CommandID, m []string) lc.Input) word {
		return word{pattern, func(s *scenario, m []string) (lc.Input, error) { return in(s.command(m[0]), m), nil }}
	}
	answer := func(pattern string, kind lc.OpKind, report func(op lc.Op, m []string) lc.Report) word {
		return word{pattern, func(s *scenario, m []string) (lc.Input, error) {
			id, op, err := s.pending(kind)
			return lc.Answer{Op: id, Report: report(op, m)}, err
		}}
	}
	fact := func(pattern string, in func(s *scenario, m []string) lc.Input) word {
		return word{pattern, func(s *scenario, m []string) (lc.Input, error) { return in(s, m), nil }}
	}
	span := func(text string) time.Duration {
		d, _ := time.ParseDuration(text) // the pattern admits nothing else
		return d
	}
	failed := func(text string) lc.Problem { return lc.Problem{Code: "failed", Message: text} }
	live := func(id string) lc.Instance {
		return lc.Instance{
			Launch: lc.LaunchID(id), Live: true, Watched: true,
			Process: lc.Process{PID: 42, StartedAt: t0.Add(-time.Hour)},
		}
	}
	return []word{
		ask(`start`, func(id lc.CommandID, _ []string) lc.Input { return lc.StartRequested{Command: id} }),
		ask(`adopt`, func(id lc.CommandID, _ []string) lc.Input {
			return lc.StartRequested{Command: id, Auto: true, Adopt: true}
		}),
		ask(`stop( --now)?( --drain)?( --external)?`, func(id lc.CommandID, m []string) lc.Input {
			return lc.StopRequested{Command: id, Now: m[1] != "", Drain: m[2] != "", External: m[3] != ""}
		}),
		ask(`restart(?: after (\w+))?`, func(id lc.CommandID, m []string) lc.Input {
			return lc.RestartRequested{Command: id, Delay: span(m[1])}
		}),
		ask(`reload(?: after (\w+))?`, func(id lc.CommandID, m []string) lc.Input {
			return lc.ReloadRequested{Command: id, Delay: span(m[1])}
		}),

		answer(`recovered: nothing`, lc.OpRecover, func(lc.Op, []string) lc.Report { return lc.Recovered{Result: lc.OK} }),
		answer(`recovered: (\w+)( without shim)?(?:, changed since: (\w+))?`, lc.OpRecover, func(
			_ lc.Op, m []string,
		) lc.Report {
			i := live(m[1])
			i.Watched = m[2] == ""
			if m[3] != "" {
				i.Drift = []string{m[3]}
			}
			return lc.Recovered{Result: lc.OK, Instances: []lc.Instance{i}}
		}),
		answer(`recovered: (\w+) and (\w+)`, lc.OpRecover, func(_ lc.Op, m []string) lc.Report {
			return lc.Recovered{Result: lc.OK, Instances: []lc.Instance{live(m[1]), live(m[2])}}
		}),
		answer(`recover failed: (.+)`, lc.OpRecover, func(_ lc.Op, m []string) lc.Report {
			return lc.Recovered{Result: lc.Failed, Problem: lc.Problem{Code: "plugin_down", Message: m[1]}}
		}),
		answer(`services cleared`, lc.OpServices, func(lc.Op, []string) lc.Report {
			return lc.ServicesCleared{Result: lc.OK}
		}),
		answer(`services failed: (.+)`, lc.OpServices, func(_ lc.Op, m []string) lc.Report {
			return lc.ServicesCleared{Result: lc.Failed, Problem: failed(m[1])}
		}),
		answer(`port: free`, lc.OpPort, func(lc.Op, []string) lc.Report { return lc.PortProbed{Holder: lc.HolderNone} }),
		answer(`port: another (gateway|program), (.+)`, lc.OpPort, func(_ lc.Op, m []string) lc.Report {
			holder := map[string]lc.Holder{"gateway": lc.HolderGateway, "program": lc.HolderStranger}[m[1]]
			return lc.PortProbed{Holder: holder, Problem: lc.Problem{
				Code: "port_conflict", Message: "port 18789 is held by " + m[2], Hint: "end it, or choose another port",
			}}
		}),
		answer(`preflight passed`, lc.OpPreflight, func(lc.Op, []string) lc.Report {
			return lc.Preflighted{Result: lc.OK}
		}),
		answer(`preflight failed: (.+)`, lc.OpPreflight, func(_ lc.Op, m []string) lc.Report {
			return lc.Preflighted{Result: lc.Failed, Problem: failed(m[1])}
		}),
		answer(`hooks done`, lc.OpHooks, func(lc.Op, []string) lc.Report { return lc.HooksDone{Result: lc.OK} }),
		answer(`hooks failed: (.+)`, lc.OpHooks, func(_ lc.Op, m []string) lc.Report {
			return lc.HooksDone{Result: lc.Failed, Problem: failed(m[1])}
		}),
		answer(`prepared: (\w+)`, lc.OpPrepare, func(_ lc.Op, m []string) lc.Report {
			return lc.LaunchPrepared{Result: lc.OK, Launch: lc.LaunchID(m[1])}
		}),
		answer(`aligned`, lc.OpAlign, func(lc.Op, []string) lc.Report { return lc.ConfigAligned{Result: lc.OK} }),
		answer(`not aligned: (.+)`, lc.OpAlign, func(_ lc.Op, m []string) lc.Report {
			return lc.ConfigAligned{Result: lc.Failed, Problem: failed(m[1])}
		}),
		answer(`launched`, lc.OpLaunch, func(op lc.Op, _ []string) lc.Report {
			return lc.Launched{Result: lc.OK, Instance: live(string(op.Launch))}
		}),
		answer(`launch (failed|unknown): (.+)`, lc.OpLaunch, func(_ lc.Op, m []string) lc.Report {
			return lc.Launched{
				Result: map[string]lc.Result{"failed": lc.Failed, "unknown": lc.Unknown}[m[1]], Problem: failed(m[2]),
			}
		}),
		answer(`inspected: running`, lc.OpInspect, func(op lc.Op, _ []string) lc.Report {
			return lc.Inspected{Result: lc.OK, Found: true, Instance: live(string(op.Launch))}
		}),
		answer(`inspected: no such launch`, lc.OpInspect, func(lc.Op, []string) lc.Report {
			return lc.Inspected{Result: lc.OK}
		}),
		answer(`inspect failed: (.+)`, lc.OpInspect, func(_ lc.Op, m []string) lc.Report {
			return lc.Inspected{Result: lc.Failed, Problem: lc.Problem{Code: "plugin_down", Message: m[1]}}
		}),
		answer(`port: (closed|starting|open|ready)`, lc.OpReady, func(_ lc.Op, m []string) lc.Report {
			return lc.ReadyProbed{Readiness: map[string]lc.Readiness{
				"closed": lc.ReadinessClosed, "starting": lc.ReadinessStarting, "open": lc.ReadinessOpen,
				"ready": lc.ReadinessReady,
			}[m[1]]}
		}),
		answer(`session opened(?:: generation (\w+))?`, lc.OpSession, func(op lc.Op, m []string) lc.Report {
			return lc.SessionOpened{Session: op.Session, Hello: lc.Hello{BootID: m[1]}}
		}),
		answer(`session refused( for good|, try again)?: (.+)`, lc.OpSession, func(op lc.Op, m []string) lc.Report {
			return lc.SessionRefused{Session: op.Session, Retryable: m[1] == ", try again", Problem: lc.Problem{
				Code: "refused", Message: m[2], Fatal: m[1] == " for good",
			}}
		}),
		answer(`verified: alive`, lc.OpVerify, func(op lc.Op, _ []string) lc.Report {
			return lc.Verified{Session: op.Session, Alive: true}
		}),
		answer(`verified: no answer`, lc.OpVerify, func(op lc.Op, _ []string) lc.Report {
			return lc.Verified{Session: op.Session, Why: lc.VerifyTimeout}
		}),
		answer(`reload accepted`, lc.OpReload, func(lc.Op, []string) lc.Report { return lc.Reloaded{Result: lc.OK} }),
		answer(`reload refused: (.+)`, lc.OpReload, func(_ lc.Op, m []string) lc.Report {
			return lc.Reloaded{Result: lc.Failed, Problem: failed(m[1])}
		}),
		answer(`drained`, lc.OpDrain, func(lc.Op, []string) lc.Report { return lc.Drained{} }),
		answer(`shutdown accepted`, lc.OpShutdown, func(lc.Op, []string) lc.Report {
			return lc.ShutdownAsked{Result: lc.OK}
		}),
		answer(`shutdown refused: (.+)`, lc.OpShutdown, func(_ lc.Op, m []string) lc.Report {
			return lc.ShutdownAsked{Result: lc.Failed, Problem: failed(m[1])}
		}),
		answer(`ended`, lc.OpTerminate, func(op lc.Op, _ []string) lc.Report {
			return lc.Terminated{Result: lc.OK, Launch: op.Launch}
		}),
		answer(`not ended: (.+)`, lc.OpTerminate, func(op lc.Op, m []string) lc.Report {
			return lc.Terminated{Result: lc.Failed, Launch: op.Launch, Problem: lc.Problem{Code: "plugin_down", Message: m[1]}}
		}),
		answer(`diagnosed: nothing`, lc.OpDiagnose, func(lc.Op, []string) lc.Report { return lc.Diagnosed{} }),
		answer(`diagnosed: plan (\w+), (.+)`, lc.OpDiagnose, func(_ lc.Op, m []string) lc.Report {
			return lc.Diagnosed{Found: true, Plan: lc.PlanID(m[1]), Problem: lc.Problem{Code: "config_invalid", Message: m[2]}}
		}),
		answer(`diagnosed: fatal, (.+)`, lc.OpDiagnose, func(_ lc.Op, m []string) lc.Report {
			return lc.Diagnosed{Found: true, Problem: lc.Problem{Code: "fatal", Message: m[1], Fatal: true}}
		}),
		answer(`repaired`, lc.OpRepair, func(lc.Op, []string) lc.Report { return lc.Repaired{Result: lc.OK} }),
		answer(`repair (failed|unknown): (.+)`, lc.OpRepair, func(_ lc.Op, m []string) lc.Report {
			return lc.Repaired{
				Result: map[string]lc.Result{"failed": lc.Failed, "unknown": lc.Unknown}[m[1]], Problem: failed(m[2]),
			}
		}),

		fact(`process exited: code (\d+)`, func(s *scenario, m []string) lc.Input {
			code := 0
			_, _ = fmt.Sscan(m[1], &code) // the pattern admits nothing else
			return lc.ProcessExited{Launch: s.s.Launch, Exit: lc.Exit{Known: true, Code: code, At: s.now}}
		}),
		fact(`process exited: (SIG\w+)`, func(s *scenario, m []string) lc.Input {
			return lc.ProcessExited{Launch: s.s.Launch, Exit: lc.Exit{Known: true, Signal: m[1], At: s.now}}
		}),
		fact(`shim lost`, func(s *scenario, _ []string) lc.Input {
			return lc.WatchLost{Launch: s.s.Launch, Problem: lc.Problem{Code: "unwatched", Message: "the gateway's shim died"}}
		}),
		fact(`output`, func(s *scenario, _ []string) lc.Input { return lc.OutputSeen{Launch: s.s.Launch} }),
		fact(`session closed: code (\d+)(?:, restart announced within (\w+))?`, func(s *scenario, m []string) lc.Input {
			in := lc.SessionClosed{Session: s.s.Session, Expected: span(m[2])}
			_, _ = fmt.Sscan(m[1], &in.Code) // the pattern admits nothing else
			if m[2] != "" {
				in.Announce = lc.AnnounceRestart
			}
			return in
		}),
		fact(`sign of life`, func(s *scenario, _ []string) lc.Input { return lc.SessionAlive{Session: s.s.Session} }),
	}
}

var errNoOperation = errors.New("there was no such operation")

// pending finds the operation of a kind that is answered next: an abandoned one only if there is no other, and one that
// is not pending any more only if there is none at all.
func (s *scenario) pending(kind lc.OpKind) (id lc.OpID, op lc.Op, err error) {
	for have, o := range s.s.Pending {
		other := o.Kind == kind || kind == lc.OpInspect && o.Kind == lc.OpReach
		if !other || id != 0 && (o.Abandoned && !op.Abandoned || o.Abandoned == op.Abandoned && have > id) {
			continue
		}
		id, op = have, o
	}
	if id != 0 {
		return id, op, nil
	}
	for have, o := range s.opened {
		if o.Kind == kind && have > id {
			id, op = have, o
		}
	}
	if id == 0 {
		return 0, lc.Op{}, fmt.Errorf("%w: %s", errNoOperation, kind)
	}
	return id, op, nil
}

// read makes an input of its words.
func (s *scenario) read(words string) (lc.Input, error) {
	for _, w := range inputs() {
		if m := regexp.MustCompile("^" + w.pattern + "$").FindStringSubmatch(words); m != nil {
			return w.make(s, m)
		}
	}
	return nil, errors.New("there is no such input")
}
