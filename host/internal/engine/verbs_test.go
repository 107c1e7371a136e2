package engine_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehost/gatehost/host/internal/engine"
	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/fault"
)

var update = flag.Bool("update", false, "write the table of verbs anew")

// verbsFile holds the table of verbs: what each answers in each state, and with which exit code.
const verbsFile = "../../../docs/reference/verbs.md"

// situation is a state of a gateway in which a person gives a command.
type situation struct {
	state lc.Public
	owner lc.Owner
	reach func(t *testing.T, s *scene) *engine.Engine
}

var refused = &engine.Refused{Problem: lc.Problem{Code: "AUTH_TOKEN_MISMATCH", Message: "token mismatch", Fatal: true}}

func situations() []situation {
	started := func(t *testing.T, s *scene) *engine.Engine {
		t.Helper()
		e := begin(t, s, lc.DefaultPolicy())
		mustDo(t, e.Start, lc.OutcomeApplied)
		time.Sleep(time.Minute) // no longer young
		return e
	}
	attached := func(t *testing.T, s *scene) *engine.Engine {
		t.Helper()
		s.Holder = lc.HolderGateway
		return started(t, s)
	}
	closed := func() lc.Readiness { return lc.ReadinessClosed }
	lose := func(t *testing.T, s *scene, e *engine.Engine) *engine.Engine {
		t.Helper()
		s.Ready = closed
		s.closeSessions(engine.SessionEnd{Code: 1006})
		time.Sleep(time.Second)
		synctest.Wait()
		return e
	}
	refuse := func(t *testing.T, s *scene, e *engine.Engine) *engine.Engine {
		t.Helper()
		s.SessionErr = func(int) error { return refused }
		s.closeSessions(engine.SessionEnd{Code: 1006})
		time.Sleep(time.Second)
		synctest.Wait()
		return e
	}
	begun := func(t *testing.T, s *scene) *engine.Engine {
		t.Helper()
		s.Ready = closed
		e := begin(t, s, lc.DefaultPolicy())
		go func() { _, _ = e.Start(t.Context()) }()
		time.Sleep(time.Second)
		synctest.Wait()
		return e
	}
	return []situation{
		{lc.Stopped, lc.OwnerNone, func(t *testing.T, s *scene) *engine.Engine {
			t.Helper()
			e := started(t, s)
			mustDo(t, stopIt(e), lc.OutcomeApplied)
			return e
		}},
		{lc.Starting, lc.OwnerOwned, begun},
		{lc.Starting, lc.OwnerAttached, func(t *testing.T, s *scene) *engine.Engine {
			t.Helper()
			s.Holder = lc.HolderGateway
			return begun(t, s)
		}},
		{lc.Running, lc.OwnerOwned, started},
		{lc.Running, lc.OwnerAttached, attached},
		{lc.Reconnecting, lc.OwnerOwned, func(t *testing.T, s *scene) *engine.Engine {
			t.Helper()
			return lose(t, s, started(t, s))
		}},
		{lc.Reconnecting, lc.OwnerAttached, func(t *testing.T, s *scene) *engine.Engine {
			t.Helper()
			return lose(t, s, attached(t, s))
		}},
		{lc.Stopping, lc.OwnerOwned, func(t *testing.T, s *scene) *engine.Engine {
			t.Helper()
			e := started(t, s)
			s.stopBlocks = make(chan struct{})
			time.AfterFunc(10*time.Second, func() { close(s.stopBlocks) })
			go func() { _, _ = stopIt(e)(t.Context()) }()
			time.Sleep(time.Second)
			synctest.Wait()
			return e
		}},
		{lc.Stopping, lc.OwnerAttached, func(t *testing.T, s *scene) *engine.Engine {
			t.Helper()
			s.ShutdownErr = func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			}
			e := attached(t, s)
			go func() { _, _ = e.Stop(t.Context(), engine.StopOptions{External: true}) }()
			time.Sleep(time.Second)
			synctest.Wait()
			return e
		}},
		{lc.Error, lc.OwnerNone, func(t *testing.T, s *scene) *engine.Engine {
			t.Helper()
			s.Holder = lc.HolderStranger
			e := begin(t, s, lc.DefaultPolicy())
			mustDo(t, e.Start, lc.OutcomeFailed)
			return e
		}},
		{lc.Error, lc.OwnerOwned, func(t *testing.T, s *scene) *engine.Engine {
			t.Helper()
			return refuse(t, s, started(t, s))
		}},
		{lc.Error, lc.OwnerAttached, func(t *testing.T, s *scene) *engine.Engine {
			t.Helper()
			return refuse(t, s, attached(t, s))
		}},
	}
}

// exits are the exit codes of outcomes; cmd/host has a test that it uses these.
var exits = map[lc.OutcomeKind]int{
	lc.OutcomeApplied: 0, lc.OutcomeJoined: 0, lc.OutcomeDeferred: 0, lc.OutcomeDetached: 0,
	lc.OutcomeFailed: 1, lc.OutcomeSuperseded: 6,
}

// TestVerbsAnswerWhatIsTrue gives each command in each state and compares the answers with the table of the reference.
func TestVerbsAnswerWhatIsTrue(t *testing.T) {
	verbs := []string{"start", "stop", "restart", "reload"}
	var table strings.Builder
	table.WriteString("| state | owner | launcher | " + strings.Join(verbs, " | ") + " |\n")
	table.WriteString(strings.Repeat("|---", 3+len(verbs)) + "|\n")
	for _, at := range situations() {
		for _, launcher := range []string{"up", "down"} {
			row := []string{string(at.state), string(at.owner), launcher}
			for _, verb := range verbs {
				row = append(row, answerOf(t, at, launcher, verb))
			}
			table.WriteString("| " + strings.Join(row, " | ") + " |\n")
		}
	}
	const from, to = "<!-- verbs: written by go test ./host/internal/engine -update -->\n", "<!-- end of verbs -->\n"
	file, err := os.ReadFile(verbsFile)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(file), from)
	old, tail, found := strings.Cut(rest, to)
	if !found {
		t.Fatalf("%s has no place for the table", verbsFile)
	}
	if *update {
		if err := os.WriteFile(verbsFile, []byte(head+from+table.String()+to+tail), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, want := strings.Split(table.String(), "\n"), strings.Split(old, "\n"); table.String() != old {
		for i := range max(len(got), len(want)) {
			g, w := "", ""
			if i < len(got) {
				g = got[i]
			}
			if i < len(want) {
				w = want[i]
			}
			if g != w {
				t.Errorf("got  %s\nwant %s", g, w)
			}
		}
	}
}

// answerOf gives one command in one situation and returns the answer as a cell of the table.
func answerOf(t *testing.T, at situation, launcher, verb string) (cell string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		e := at.reach(t, s)
		if got := e.Snapshot().State; got.Public() != at.state || got.Owner() != at.owner {
			t.Fatalf("state %s, owner %s, want %s, %s", got.Public(), got.Owner(), at.state, at.owner)
		}
		if launcher == "down" {
			s.setDown(fault.New(fault.PluginDown, "the launcher is down"))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		var o lc.Outcome
		var err error
		switch verb {
		case "start":
			o, err = e.Start(ctx)
		case "stop":
			o, err = e.Stop(ctx, engine.StopOptions{})
		case "restart":
			o, err = e.Restart(ctx, engine.RestartOptions{})
		case "reload":
			o, err = e.Reload(ctx, 0)
		}
		if err != nil {
			t.Fatalf("%s in %s (%s, launcher %s): %v", verb, at.state, at.owner, launcher, err)
		}
		synctest.Wait() // what the answer began without a wait, such as the session after a restart that was refused
		after := e.Snapshot().State
		truthful(t, verb+" in "+string(at.state)+" ("+string(at.owner)+", launcher "+launcher+")", verb, o, after, s)
		cell = fmt.Sprintf("%s, %s, %d", o.Kind, after.Public(), exits[o.Kind])
		if o.Kind == lc.OutcomeFailed {
			cell = fmt.Sprintf("%s (%s), %s, %d", o.Kind, o.Problem.Code, after.Public(), exits[o.Kind])
		}
	})
	return cell
}

// truthful holds an answer against what is there after it.
func truthful(t *testing.T, what, verb string, o lc.Outcome, after lc.State, s *scene) {
	t.Helper()
	ok := exits[o.Kind] == 0
	switch {
	case !ok && (o.Problem == nil || o.Problem.Message == ""):
		t.Errorf("%s: %s without a reason", what, o.Kind)
	case ok && (verb == "start" || verb == "restart") && after.Public() != lc.Running:
		t.Errorf("%s: %s, and the gateway is %s", what, o.Kind, after.Public())
	case ok && verb == "stop" && (after.Public() != lc.Stopped || s.alive() > 0):
		t.Errorf("%s: %s, and the gateway is %s with %d processes", what, o.Kind, after.Public(), s.alive())
	case ok && verb == "stop" && s.Holder == lc.HolderGateway && o.Kind != lc.OutcomeDetached:
		t.Errorf("%s: %s, and the gateway runs on", what, o.Kind)
	case ok && verb == "reload" && after.Public() == lc.Error:
		t.Errorf("%s: %s, and the gateway is in error", what, o.Kind)
	}
}
