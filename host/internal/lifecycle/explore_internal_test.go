package lifecycle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// transition is a change of the phase, and the input that caused it in words.
type transition struct {
	from, to Phase
	cause    string
}

// node is a state that was reached, with what else decides which inputs can come next.
type node struct {
	s       State
	now     time.Time
	inputs  int      // that led to it
	watched LaunchID // the launch whose output and exit are watched
	exited  bool     // its exit has been reported
}

// trial is an input that can come in a node.
type trial struct {
	words string
	in    Input
	after time.Duration
}

// exploration is what explore found.
type exploration struct {
	transitions map[transition]int        // in the order in which they were found, from 1
	public      map[Phase]map[Public]bool // the public states that a phase was seen in
}

// explore derives the transitions of the machine: from a new gateway on, it feeds every input that can come next to
// every state that it has not seen before, up to a number of inputs. Two states are the same to it when they differ
// only in figures that decide nothing (see key). There is no chance in it: the same code has the same transitions.
func explore(p Policy, inputs int) exploration {
	found := exploration{map[transition]int{}, map[Phase]map[Public]bool{}}
	seen := map[string]bool{}
	queue := []node{{s: New(), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		if found.public[n.s.Phase] == nil {
			found.public[n.s.Phase] = map[Public]bool{}
		}
		found.public[n.s.Phase][n.s.Public()] = true
		if n.inputs == inputs {
			continue
		}
		for _, tr := range n.trials() {
			now := n.now.Add(tr.after)
			s, effects := Step(p, n.s, tr.in, now)
			made := transition{n.s.Phase, s.Phase, tr.words}
			if s.Phase != n.s.Phase && found.transitions[made] == 0 {
				found.transitions[made] = len(found.transitions) + 1
			}
			next := node{s: s, now: now, inputs: n.inputs + 1, watched: n.watched, exited: n.exited}
			if _, exit := tr.in.(ProcessExited); exit {
				next.exited = true
			}
			next.follow(effects)
			if k := next.key(); !seen[k] {
				seen[k] = true
				queue = append(queue, next)
			}
		}
	}
	return found
}

func (n *node) follow(effects []Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case Watch:
			if e.Launch != n.watched {
				n.watched, n.exited = e.Launch, false
			}
		case Unwatch:
			if e.Launch == n.watched {
				n.watched, n.exited = "", false
			}
		default:
		}
	}
}

// key names everything of a node that decides what can happen next.
func (n *node) key() string {
	s := n.s
	pending := make([]string, 0, len(s.Pending))
	for _, op := range s.Pending {
		word := string(op.Kind)
		if op.Abandoned {
			word += "!"
		}
		pending = append(pending, word)
	}
	slices.Sort(pending)
	var restart, reloads, external bool // that wait
	for _, w := range s.Waiters {
		restart = restart || w.held && w.kind != waitReload
		reloads = reloads || w.held && w.kind == waitReload
		external = external || w.extern
	}
	r := cmp.Or(s.reload, &reload{})
	var flags uint32
	for _, flag := range []bool{
		s.Up, s.Launch != "", s.Adopted, s.adopting, s.Attached, s.After == AfterFailed && s.Failed != "", s.Session != 0,
		s.Err != nil && s.Err.Fatal, s.Attempt > 1, s.Repaired, s.repair.unknown, s.repair.lost, s.pace.slow,
		s.After != AfterNothing && s.ending.worked, s.leftoversKnown, n.watched != "", n.exited, restart, reloads, external,
		s.reload != nil, r.bootID != "", r.asked, r.announced,
	} {
		flags <<= 1
		if flag {
			flags |= 1
		}
	}
	figures := []int{s.Reconnects, min(s.pace.flaps, 2), s.ending.tries / 2}
	return fmt.Sprint(s.Phase, s.Flow, s.After, flags, figures, strings.Join(pending, " "))
}

const (
	soon  = time.Millisecond
	later = 20 * time.Minute // longer than every time of the policy
)

// trials are the inputs that can come next.
func (n *node) trials() []trial {
	var out []trial
	add := func(words string, in Input) { out = append(out, trial{words, in, soon}) }
	both := func(words string, in Input) {
		out = append(out, trial{words, in, soon}, trial{words, in, later})
	}
	s := n.s
	ids := make([]OpID, 0, len(s.Pending))
	for id := range s.Pending {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		op := s.Pending[id]
		if timer, ok := strings.CutPrefix(string(op.Kind), "timer-"); ok {
			both("timer "+timer, Answer{id, TimerFired{}})
			continue
		}
		for _, r := range n.reports(op) {
			add(r.words, Answer{id, r.report})
		}
	}
	if n.watched != "" && n.watched == s.Launch && !n.exited {
		both("process exited", ProcessExited{Launch: s.Launch, Exit: Exit{Known: true, Code: 1}})
		add("shim lost", WatchLost{Launch: s.Launch, Problem: Problem{Code: "unwatched", Message: "m"}})
		add("output: zombie", SymptomSeen{Launch: s.Launch, Symptom: SymptomZombie})
		add("output: channels suppressed", SymptomSeen{Launch: s.Launch, Symptom: SymptomChannelsSuppressed})
	}
	if s.Session != 0 {
		both("session closed", SessionClosed{Session: s.Session, Code: 1006})
		both("session closed: restart announced", SessionClosed{Session: s.Session, Code: 1012, Announce: AnnounceRestart})
		add("sign of life", SessionAlive{Session: s.Session})
	}
	if len(s.Waiters) >= 2 {
		return out
	}
	const c = CommandID(1)
	add("start", StartRequested{Command: c})
	add("adopt", StartRequested{Command: c, Auto: true, Adopt: true})
	add("stop", StopRequested{Command: c})
	add("stop --now", StopRequested{Command: c, Now: true})
	add("stop --drain", StopRequested{Command: c, Drain: true})
	add("stop --external", StopRequested{Command: c, External: true})
	add("restart", RestartRequested{Command: c})
	add("restart, debounced", RestartRequested{Command: c, Delay: time.Second})
	add("reload", ReloadRequested{Command: c})
	return out
}

// worded is a report and its words.
type worded struct {
	words  string
	report Report
}

// reports are the answers that an operation can have.
func (n *node) reports(op Op) []worded {
	bad, fatal := Problem{Code: "x", Message: "m"}, Problem{Code: "x", Message: "m", Fatal: true}
	live := func(id LaunchID, watched bool) Instance {
		return Instance{Launch: id, Live: true, Watched: watched}
	}
	switch op.Kind {
	case OpRecover:
		found := n.s.Launch
		if found == "" {
			found = "old"
		}
		return []worded{
			{"recovered: nothing", Recovered{Result: OK}},
			{"recovered: a watched process", Recovered{Result: OK, Instances: []Instance{live(found, true)}}},
			{"recovered: a process without shim", Recovered{Result: OK, Instances: []Instance{live(found, false)}}},
			{"recovered: several processes", Recovered{
				Result: OK, Instances: []Instance{live(found, true), live("older", true)},
			}},
			{"recover failed", Recovered{Result: Failed, Problem: bad}},
		}
	case OpServices:
		return []worded{
			{"services cleared", ServicesCleared{Result: OK}},
			{"services not cleared", ServicesCleared{Result: Failed, Problem: bad}},
		}
	case OpPort:
		return []worded{
			{"port: free", PortProbed{Holder: HolderNone}},
			{"port: another gateway", PortProbed{Holder: HolderGateway, Problem: bad}},
			{"port: another program", PortProbed{Holder: HolderStranger, Problem: bad}},
		}
	case OpPreflight:
		return []worded{
			{"preflight passed", Preflighted{Result: OK}}, {"preflight failed", Preflighted{Result: Failed, Problem: bad}},
		}
	case OpHooks:
		return []worded{{"hooks done", HooksDone{Result: OK}}, {"hooks failed", HooksDone{Result: Failed, Problem: bad}}}
	case OpPrepare:
		id := LaunchID(fmt.Sprintf("L%d", n.s.nextOp))
		return []worded{
			{"launch prepared", LaunchPrepared{Result: OK, Launch: id}},
			{"launch not prepared", LaunchPrepared{Result: Failed, Problem: bad}},
		}
	case OpAlign:
		return []worded{
			{"configuration aligned", ConfigAligned{Result: OK}},
			{"configuration not aligned", ConfigAligned{Result: Failed, Problem: bad}},
		}
	case OpLaunch:
		return []worded{
			{"launched", Launched{Result: OK, Instance: live(op.Launch, true)}},
			{"launch failed", Launched{Result: Failed, Problem: bad}},
			{"launch failed: fatal", Launched{Result: Failed, Problem: fatal}},
			{"launch unknown", Launched{Result: Unknown, Problem: bad}},
		}
	case OpInspect, OpReach:
		return []worded{
			{"inspected: found", Inspected{Result: OK, Found: true, Instance: live(op.Launch, true)}},
			{"inspected: not found", Inspected{Result: OK}},
			{"inspect failed", Inspected{Result: Failed, Problem: bad}},
		}
	case OpReady:
		return []worded{
			{"port closed", ReadyProbed{Readiness: ReadinessClosed}},
			{"port open", ReadyProbed{Readiness: ReadinessOpen}},
		}
	case OpSession:
		return []worded{
			{"session opened", SessionOpened{Session: op.Session, Hello: Hello{BootID: "same"}}},
			{"session opened", SessionOpened{Session: op.Session, Hello: Hello{BootID: fmt.Sprint(n.s.nextOp)}}},
			{"session opened", SessionOpened{Session: op.Session}},
			{"session refused: try again", SessionRefused{Session: op.Session, Retryable: true, Problem: bad}},
			{"session refused", SessionRefused{Session: op.Session, Problem: bad}},
			{"session refused: fatal", SessionRefused{Session: op.Session, Problem: fatal}},
		}
	case OpVerify:
		return []worded{
			{"verified: alive", Verified{Session: op.Session, Alive: true}},
			{"verified: not alive", Verified{Session: op.Session}},
		}
	case OpReload:
		return []worded{
			{"reload accepted", Reloaded{Result: OK}}, {"reload refused", Reloaded{Result: Failed, Problem: bad}},
		}
	case OpDrain:
		return []worded{{"drained", Drained{}}}
	case OpShutdown:
		return []worded{
			{"shutdown accepted", ShutdownAsked{Result: OK}},
			{"shutdown refused", ShutdownAsked{Result: Failed, Problem: bad}},
		}
	case OpTerminate:
		return []worded{
			{"process ended", Terminated{Result: OK, Launch: op.Launch}},
			{"process not ended", Terminated{Result: Failed, Launch: op.Launch, Problem: bad}},
		}
	case OpDiagnose:
		return []worded{
			{"diagnosed: nothing", Diagnosed{}},
			{"diagnosed: a finding", Diagnosed{Found: true, Problem: bad}},
			{"diagnosed: fatal", Diagnosed{Found: true, Problem: fatal}},
			{"diagnosed: a repair", Diagnosed{Found: true, Plan: "P", Problem: bad}},
			{"diagnosed: another owner", Diagnosed{Found: true, OtherOwner: true, Problem: bad}},
		}
	case OpRepair:
		return []worded{
			{"repaired", Repaired{Result: OK}},
			{"repair failed", Repaired{Result: Failed, Problem: bad}},
			{"repair unknown", Repaired{Result: Unknown, Problem: bad}},
		}
	default:
		panic("explore: no answers for " + string(op.Kind))
	}
}
