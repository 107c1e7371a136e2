package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/engine"
	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/observe"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

func mustDo(t *testing.T, do func(context.Context) (lc.Outcome, error), want lc.OutcomeKind) {
	t.Helper()
	got, err := do(t.Context())
	if err != nil || got.Kind != want {
		t.Fatalf("outcome = %+v, %v, want %s", got, err, want)
	}
}

func stopIt(e *engine.Engine) func(context.Context) (lc.Outcome, error) {
	return func(ctx context.Context) (lc.Outcome, error) { return e.Stop(ctx, engine.StopOptions{}) }
}

func restartIt(e *engine.Engine) func(context.Context) (lc.Outcome, error) {
	return func(ctx context.Context) (lc.Outcome, error) { return e.Restart(ctx, engine.RestartOptions{}) }
}

func TestStartRunsAndStopLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		e := begin(t, s, lc.DefaultPolicy())
		mustDo(t, e.Start, lc.OutcomeApplied)
		snap := e.Snapshot()
		if snap.State.Public() != lc.Running || snap.State.Hello.Version != "2026.9.6" ||
			snap.State.Owner() != lc.OwnerOwned {
			t.Fatalf("state = %+v", snap.State)
		}
		if w := snap.Record.Waterfall(); w.Outcome != "running" || len(w.Stages) == 0 {
			t.Errorf("waterfall = %+v", w)
		}
		if s.count(&s.opens) != 1 {
			t.Errorf("sessions opened in a clean start = %d, want 1", s.opens)
		}
		mustDo(t, stopIt(e), lc.OutcomeApplied)
		if s.alive() != 0 || e.Snapshot().State.Phase != lc.PhaseStopped {
			t.Errorf("alive = %d, phase = %s", s.alive(), e.Snapshot().State.Phase)
		}
		synctest.Wait()
		if len(s.procs) != 0 {
			t.Errorf("launches not released: %d", len(s.procs))
		}
	})
}

func TestKilledGatewayRunsAgainAfterBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		e := begin(t, s, lc.DefaultPolicy())
		mustDo(t, e.Start, lc.OutcomeApplied)
		s.kill(plugin.Exit{Signal: "SIGKILL", Known: true})
		synctest.Wait()
		if got := e.Snapshot().State; got.Public() != lc.Reconnecting || got.LastExit.Signal != "SIGKILL" ||
			got.Reconnects != 1 {
			t.Fatalf("after the kill: %s %+v reconnects=%d", got.Public(), got.LastExit, got.Reconnects)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := e.Snapshot().State; got.Public() != lc.Running || got.Restarts != 1 {
			t.Errorf("after 2 s: %s restarts=%d", got.Public(), got.Restarts)
		}
	})
}

func TestGivesUpFastAttemptsAtTheCapThenTriesSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		p := lc.DefaultPolicy()
		p.ReconnectAttempts = 3
		e := begin(t, s, p)
		mustDo(t, e.Start, lc.OutcomeApplied)
		s.LaunchErr = func(int) error { return errors.New("no more processes") }
		s.kill(plugin.Exit{Code: 1, Known: true})
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := e.Snapshot().State.Public(); got != lc.Error || s.count(&s.launches) != 4 {
			t.Fatalf("after a minute: %s, launches = %d, want error and first + 3", got, s.launches)
		}
		time.Sleep(p.SlowRetry * 3)
		synctest.Wait()
		if got := s.count(&s.launches); got < 6 || got > 8 {
			t.Errorf("launches = %d after three slow periods", got)
		}
	})
}

func TestStopDuringLaunchEndsTheLateProcess(t *testing.T) { // B034
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.LaunchBlocks = make(chan struct{})
		e := begin(t, s, lc.DefaultPolicy())
		started := make(chan lc.Outcome, 1)
		go func() {
			o, _ := e.Start(t.Context())
			started <- o
		}()
		synctest.Wait()
		stopped := make(chan lc.Outcome, 1)
		go func() {
			o, _ := e.Stop(t.Context(), engine.StopOptions{})
			stopped <- o
		}()
		synctest.Wait()
		if o := <-started; o.Kind != lc.OutcomeSuperseded {
			t.Errorf("start = %+v, want superseded", o)
		}
		if got := e.Snapshot().State.Public(); got != lc.Stopping {
			t.Errorf("while the launch is under way: %s, want stopping", got)
		}
		close(s.LaunchBlocks)
		if o := <-stopped; o.Kind != lc.OutcomeApplied || s.alive() != 0 {
			t.Errorf("stop = %+v, alive = %d", o, s.alive())
		}
	})
}

func TestUnknownLaunchIsFoundAgain(t *testing.T) { // R21
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.LaunchErr = func(n int) error {
			if n == 1 { // the plugin dies after the fork
				s.procs["launch-1"] = &proc{exited: make(chan struct{})}
				return fault.New(fault.PluginGone, "the launcher died")
			}
			return nil
		}
		e := begin(t, s, lc.DefaultPolicy())
		mustDo(t, e.Start, lc.OutcomeApplied)
		if s.count(&s.launches) != 1 || s.alive() != 1 {
			t.Errorf("launches = %d, alive = %d, want one of each", s.launches, s.alive())
		}
	})
}

func TestExitBeforeReadyIsRepairedOnceAndStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.Diagnosis = lc.Diagnosed{
			Found: true, Plan: "fix-1", Problem: lc.Problem{Code: "config-invalid", Message: "bad key"},
		}
		s.Ready = func() lc.Readiness {
			if len(s.executed()) == 0 {
				s.kill(plugin.Exit{Code: 78, Known: true})
				return lc.ReadinessClosed
			}
			return lc.ReadinessReady
		}
		e := begin(t, s, lc.DefaultPolicy())
		mustDo(t, e.Start, lc.OutcomeApplied)
		if plans := s.executed(); !slices.Equal(plans, []lc.PlanID{"fix-1"}) || s.launches != 2 {
			t.Errorf("plans = %v, launches = %d, want the plan of the diagnosis and 2", plans, s.launches)
		}
	})
}

func TestStrangerOnThePortIsNamedAndLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.Holder = lc.HolderStranger
		e := begin(t, s, lc.DefaultPolicy())
		o, err := e.Start(t.Context())
		if err != nil || o.Kind != lc.OutcomeFailed || o.Problem.Message != "port 1 is held by pid 7" {
			t.Fatalf("outcome = %+v, %v", o, err)
		}
		if s.launches != 0 || s.stops != 0 {
			t.Errorf("launches = %d, stops = %d, want none", s.launches, s.stops)
		}
	})
}

func TestForeignGatewayIsAttachedAndNeverSignalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.Holder = lc.HolderGateway
		e := begin(t, s, lc.DefaultPolicy())
		mustDo(t, e.Start, lc.OutcomeApplied)
		if got := e.Snapshot().State.Owner(); got != lc.OwnerAttached {
			t.Fatalf("owner = %s", got)
		}
		mustDo(t, restartIt(e), lc.OutcomeFailed)
		mustDo(t, stopIt(e), lc.OutcomeDetached)
		if s.launches != 0 || s.stops != 0 {
			t.Errorf("launches = %d, stops = %d, want none", s.launches, s.stops)
		}
	})
}

// TestForeignGatewayIsShutDownOnlyWhenThatIsAskedFor is B211: within 5 s, and without a signal.
func TestForeignGatewayIsShutDownOnlyWhenThatIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.Holder = lc.HolderGateway
		asked := 0
		s.ShutdownErr = func(ctx context.Context) error {
			asked++
			<-ctx.Done() // it says nothing
			return ctx.Err()
		}
		e := begin(t, s, lc.DefaultPolicy())
		mustDo(t, e.Start, lc.OutcomeApplied)
		external := func(ctx context.Context) (lc.Outcome, error) {
			return e.Stop(ctx, engine.StopOptions{External: true})
		}
		began := time.Now()
		mustDo(t, external, lc.OutcomeFailed)
		if took := time.Since(began); took != 5*time.Second || asked != 1 || e.Snapshot().State.Public() != lc.Running {
			t.Errorf("asked %d times, %s after %v", asked, e.Snapshot().State.Public(), took)
		}
		s.ShutdownErr = func(context.Context) error { return nil }
		mustDo(t, external, lc.OutcomeApplied)
		if got := e.Snapshot().State.Public(); got != lc.Stopped || s.stops != 0 {
			t.Errorf("%s, stops %d", got, s.stops)
		}
	})
}

func TestLostSocketRejoinsTheSameProcess(t *testing.T) { // B204
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		e := begin(t, s, lc.DefaultPolicy())
		mustDo(t, e.Start, lc.OutcomeApplied)
		s.closeSessions(engine.SessionEnd{Code: 1006})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		got := e.Snapshot().State
		if got.Public() != lc.Running || s.launches != 1 || s.stops != 0 || got.Reconnects != 0 {
			t.Errorf("state = %s, launches = %d, stops = %d", got.Public(), s.launches, s.stops)
		}
	})
}

func TestPanickingPortBecomesAFailedStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.PanicIn = "launch"
		e := begin(t, s, lc.DefaultPolicy())
		mustDo(t, e.Start, lc.OutcomeApplied) // unknown, nothing found, then the second attempt
		if s.launches != 1 {
			t.Errorf("launches = %d", s.launches)
		}
	})
}

// The launch goes on when the gateway's configuration cannot be aligned, and each launch is aligned once, before it is
// made.
func TestEachLaunchIsAlignedOnceAndAFailureKeepsNothing(t *testing.T) { // B321
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.AlignErr = errors.New("the file is locked")
		e := begin(t, s, lc.DefaultPolicy())
		mustDo(t, e.Start, lc.OutcomeApplied)
		mustDo(t, restartIt(e), lc.OutcomeApplied)
		s.mu.Lock()
		defer s.mu.Unlock()
		if want := []lc.LaunchID{"launch-1", "launch-2"}; !slices.Equal(s.aligned, want) || s.launches != 2 {
			t.Errorf("aligned %v, want %v; %d launches", s.aligned, want, s.launches)
		}
		w := e.Snapshot().Record.Waterfall()
		if !slices.ContainsFunc(w.Stages, func(st observe.Stage) bool {
			return st.Name == "aligning"
		}) {
			t.Errorf("the waterfall does not show it: %+v", w)
		}
	})
}

func TestSecondStartJoinsTheFirst(t *testing.T) { // B021
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.LaunchBlocks = make(chan struct{})
		e := begin(t, s, lc.DefaultPolicy())
		first, second := make(chan lc.Outcome, 1), make(chan lc.Outcome, 1)
		go func() { o, _ := e.Start(t.Context()); first <- o }()
		synctest.Wait()
		go func() { o, _ := e.Start(t.Context()); second <- o }()
		synctest.Wait()
		close(s.LaunchBlocks)
		if a, b := <-first, <-second; a.Kind != lc.OutcomeApplied || b.Kind != lc.OutcomeJoined || s.launches != 1 {
			t.Errorf("first = %s, second = %s, launches = %d", a.Kind, b.Kind, s.launches)
		}
	})
}

func TestRestartDuringLaunchIsDeferredThenApplied(t *testing.T) { // B231, B233
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.LaunchBlocks = make(chan struct{})
		e := begin(t, s, lc.DefaultPolicy())
		go func() { _, _ = e.Start(t.Context()) }()
		synctest.Wait()
		restarted := make(chan lc.Outcome, 1)
		go func() { o, _ := e.Restart(t.Context(), engine.RestartOptions{}); restarted <- o }()
		synctest.Wait()
		close(s.LaunchBlocks)
		if o := <-restarted; o.Kind != lc.OutcomeDeferred || s.count(&s.launches) != 2 || s.alive() != 1 {
			t.Errorf("restart = %s, launches = %d, alive = %d", o.Kind, s.launches, s.alive())
		}
	})
}

func TestCommandsAfterTheEndSayThatTheHostIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		e := engine.New("main", lc.DefaultPolicy(), s.ports(), nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = e.Run(ctx)
		if _, err := e.Start(t.Context()); !errors.Is(err, engine.ErrStopped) {
			t.Errorf("error = %v, want ErrStopped", err)
		}
	})
}

func TestSilentGatewayIsVerifiedBeforeAnythingIsDone(t *testing.T) { // B274
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		e := begin(t, s, lc.DefaultPolicy())
		mustDo(t, e.Start, lc.OutcomeApplied)
		time.Sleep(time.Hour) // the fake answers every verification
		synctest.Wait()
		if s.launches != 1 || e.Snapshot().State.Public() != lc.Running {
			t.Errorf("launches = %d, state = %s", s.launches, e.Snapshot().State.Public())
		}
		if p := s.publics(); slices.Contains(p, lc.Reconnecting) {
			t.Errorf("states = %v", p)
		}
	})
}

// TestVerificationIsOneCallAndItsErrorIsACategory is B274, B275, B276 and T087: what the call said may hold secrets.
func TestVerificationIsOneCallAndItsErrorIsACategory(t *testing.T) {
	for want, fail := range map[lc.VerifyFailure]func(context.Context) error{
		lc.VerifyTimeout: func(ctx context.Context) error {
			<-ctx.Done()
			return fmt.Errorf("RPC timeout with token canary: %w", ctx.Err())
		},
		lc.VerifyFailed: func(context.Context) error { return fmt.Errorf("token canary: %w", engine.ErrNotConnected) },
		"":              func(context.Context) error { return errors.New("FORBIDDEN canary") }, // an answer is life
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newScene()
			var methods []string
			var asked, answered time.Time
			s.CallErr = func(ctx context.Context, method string) error {
				methods, asked = append(methods, method), time.Now()
				err := fail(ctx)
				answered = time.Now()
				return err
			}
			e := begin(t, s, lc.DefaultPolicy())
			mustDo(t, e.Start, lc.OutcomeApplied)
			began := time.Now()
			time.Sleep(180*time.Second + 6*time.Second)
			synctest.Wait()
			got := e.Snapshot().State
			if !slices.Equal(methods, []string{"system-presence"}) || asked.Sub(began) != 180*time.Second {
				t.Errorf("%s: called %q after %v", want, methods, asked.Sub(began))
			}
			if want == lc.VerifyTimeout && answered.Sub(asked) != 5*time.Second {
				t.Errorf("the call had %v", answered.Sub(asked))
			}
			if got.LastVerify == nil || got.LastVerify.Why != want || got.LastVerify.Alive != (want == "") ||
				got.LastVerify.At != answered {
				t.Errorf("verification %+v, want %q", got.LastVerify, want)
			}
			if text := fmt.Sprintf("%+v", got); strings.Contains(text, "canary") {
				t.Errorf("what the call said is in the state: %s", text)
			}
			if wantLaunches := map[bool]int{true: 1, false: 2}[want == ""]; s.count(&s.launches) != wantLaunches {
				t.Errorf("%s: %d launches", want, s.launches)
			}
		})
	}
}

// TestVerificationThatCouldNotBeSentIsNoSignOfLife: so many calls are unanswered, or unread, that no other one is
// taken.
func TestVerificationThatCouldNotBeSentIsNoSignOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.CallErr = func(context.Context, string) error {
			return fmt.Errorf("%w: too many calls wait", engine.ErrNotSent)
		}
		e := begin(t, s, lc.DefaultPolicy())
		mustDo(t, e.Start, lc.OutcomeApplied)
		time.Sleep(190 * time.Second)
		synctest.Wait()
		if got := e.Snapshot().State; got.LastVerify == nil || got.LastVerify.Why != lc.VerifyFailed ||
			s.count(&s.launches) != 2 {
			t.Errorf("verification %+v, launches %d: want another process", got.LastVerify, s.count(&s.launches))
		}
	})
}

// TestLastLinesOfAStoppedGatewayAreRead: what it wrote before it ended is still read after its stop was answered (R20).
func TestLastLinesOfAStoppedGatewayAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.held = make(chan struct{}) // the classifier is slow
		e := begin(t, s, lc.DefaultPolicy())
		mustDo(t, e.Start, lc.OutcomeApplied)
		for _, p := range s.procs {
			p.items <- &launcher.LineBatch{Lines: []plugin.Line{{Text: "one", Cursor: 1}}}
			p.items <- &launcher.LineBatch{Lines: []plugin.Line{{Text: "goodbye", Cursor: 2}}}
		}
		synctest.Wait()
		mustDo(t, stopIt(e), lc.OutcomeApplied)
		time.Sleep(time.Second)
		close(s.held)
		synctest.Wait()
		if !slices.Equal(s.feeds, []string{"one", "goodbye"}) {
			t.Errorf("read %q", s.feeds)
		}
	})
}

func TestAdoptedGatewayKeepsItsPortAndItsDriftIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.labels = map[string]string{"port": "7"}
		s.procs["old"] = &proc{
			items: make(chan launcher.OutputItem), exited: make(chan struct{}), lost: make(chan struct{}, 1),
		}
		e := begin(t, s, lc.DefaultPolicy())
		mustDo(t, e.Start, lc.OutcomeApplied)
		got := e.Snapshot().State
		if !got.Adopted || s.dialled != 7 || !slices.Equal(got.Drift, []string{"port"}) || len(got.Conditions) != 1 ||
			got.Conditions[0].Code != "drift" {
			t.Errorf("state = %+v, dialled %d", got, s.dialled)
		}
		s.labels = nil
		mustDo(t, restartIt(e), lc.OutcomeApplied)
		if got := e.Snapshot().State; got.Adopted || s.dialled != 0 || got.Drift != nil || len(got.Conditions) != 0 {
			t.Errorf("after a restart: %+v, dialled %d", got, s.dialled)
		}
	})
}

func TestLostShimRestartsOrKeepsAsConfigured(t *testing.T) {
	for _, mode := range []lc.ShimLossMode{lc.ShimLossRestart, lc.ShimLossKeep} {
		synctest.Test(t, func(t *testing.T) {
			s := newScene()
			p := lc.DefaultPolicy()
			p.OnShimLoss = mode
			e := begin(t, s, p)
			mustDo(t, e.Start, lc.OutcomeApplied)
			s.loseShims()
			synctest.Wait()
			s.mu.Lock()
			s.phase = 0 // what is launched from now on has a shim
			s.mu.Unlock()
			time.Sleep(time.Minute)
			synctest.Wait()
			got := e.Snapshot().State
			if got.Public() != lc.Running || mode == lc.ShimLossRestart && (s.stops != 1 || s.launches != 2) {
				t.Errorf("%s: %s, stops %d, launches %d", mode, got.Public(), s.stops, s.launches)
			}
			if mode == lc.ShimLossRestart {
				return
			}
			if s.stops != 0 || len(got.Conditions) != 1 || got.Conditions[0].Code != "unwatched" {
				t.Errorf("kept: stops %d, conditions %+v", s.stops, got.Conditions)
			}
		})
	}
}

// TestEndOfAnUnwatchedGatewayIsSeen: no shim reports it, so the engine checks.
func TestEndOfAnUnwatchedGatewayIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		p := lc.DefaultPolicy()
		p.OnShimLoss = lc.ShimLossKeep
		e := begin(t, s, p)
		mustDo(t, e.Start, lc.OutcomeApplied)
		s.loseShims()
		time.Sleep(time.Minute)
		s.mu.Lock()
		s.phase = 0
		for _, one := range s.procs {
			one.end(plugin.Exit{})
		}
		s.mu.Unlock()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := e.Snapshot().State; got.Public() != lc.Running || s.launches != 2 || got.Restarts != 1 {
			t.Errorf("%s, launches %d, restarts %d", got.Public(), s.launches, got.Restarts)
		}
	})
}

// TestLauncherWhoseProgramIsNotFoundHasLostNoGateway: why a launcher is down says nothing of what it was asked for. The
// log tells of it once.
func TestLauncherWhoseProgramIsNotFoundHasLostNoGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		var said strings.Builder // hclog writes one line after the other; read when everything rests
		s.log = hclog.New(&hclog.LoggerOptions{Output: &said, Level: hclog.Warn})
		e := begin(t, s, lc.DefaultPolicy())
		mustDo(t, e.Start, lc.OutcomeApplied)
		launch := e.Snapshot().State.Launch
		missing := fault.Wrap(fault.PluginDown, "plugin is failed", fault.New(fault.NotFound, "there is no such file"))
		down := func(err error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.down = err
		}
		for range 2 {
			said.Reset()
			down(missing)
			s.breakStreams()
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := e.Snapshot().State; got.Public() != lc.Running || got.Launch != launch || got.Restarts != 0 {
				t.Fatalf("%s, launch %q, restarts %d", got.Public(), got.Launch, got.Restarts)
			}
			if n := strings.Count(said.String(), "cannot follow the gateway's output"); n != 1 {
				t.Errorf("said %d times:\n%s", n, said.String())
			}
			mustDo(t, restartIt(e), lc.OutcomeFailed)
			down(nil)
			time.Sleep(10 * time.Second)
			s.mu.Lock()
			for _, p := range s.procs {
				p.items <- &launcher.LineBatch{Lines: []plugin.Line{{Text: "it is followed again"}}}
			}
			s.mu.Unlock()
			synctest.Wait()
			if got := e.Snapshot().State; got.Public() != lc.Running || got.Launch != launch || s.stops != 0 {
				t.Errorf("%s, launch %q, stops %d", got.Public(), got.Launch, s.stops)
			}
		}
		s.mu.Lock()
		if len(s.feeds) != 2 {
			t.Errorf("lines %q", s.feeds)
		}
		s.mu.Unlock()

		down(missing)
		mustDo(t, stopIt(e), lc.OutcomeFailed)
		down(nil)
		mustDo(t, stopIt(e), lc.OutcomeApplied)
		if s.alive() != 0 {
			t.Error("it lives")
		}
	})
}

// TestLastLinesOfAGatewayThatEndedWithoutAHostAreRead: the next host reads them before it forgets the launch, and once.
func TestLastLinesOfAGatewayThatEndedWithoutAHostAreRead(t *testing.T) {
	for _, phase := range []launcher.Phase{launcher.PhaseEnded, launcher.PhaseUnwatched} {
		t.Run(phase.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene()
				old := &proc{
					items: make(chan launcher.OutputItem, 16), exited: make(chan struct{}),
					lost: make(chan struct{}, 1), offline: true,
				}
				old.items <- &launcher.LineBatch{Lines: []plugin.Line{{Text: "its last words"}}}
				s.procs["of an earlier host"] = old
				if phase == launcher.PhaseEnded {
					old.end(plugin.Exit{Signal: "SIGKILL", Known: true})
				} else {
					old.unwatched = true
				}
				e := begin(t, s, lc.DefaultPolicy())
				mustDo(t, e.Start, lc.OutcomeApplied)
				synctest.Wait() // a launch is released beside everything else
				s.mu.Lock()
				defer s.mu.Unlock()
				if len(s.feeds) != 1 || s.feeds[0] != "its last words" || s.launches != 1 {
					t.Errorf("lines = %q, launches = %d", s.feeds, s.launches)
				}
				if _, kept := s.procs["of an earlier host"]; kept {
					t.Error("the launch that is over is kept")
				}
			})
		})
	}
}

func TestReloadAsksTheGatewayAndFallsBackToARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		e := begin(t, s, lc.DefaultPolicy())
		mustDo(t, e.Start, lc.OutcomeApplied)
		time.Sleep(time.Minute)
		done := make(chan lc.Outcome, 1)
		go func() {
			o, _ := e.Reload(t.Context(), 0)
			done <- o
		}()
		synctest.Wait()
		s.closeSessions(engine.SessionEnd{Code: 1012, Announce: lc.AnnounceRestart, Expected: time.Second})
		if o := <-done; o.Kind != lc.OutcomeApplied || s.launches != 1 || s.reloads != 1 {
			t.Errorf("outcome %+v, launches %d, reloads %d", o, s.launches, s.reloads)
		}
		s.ReloadErr = fault.New(fault.Unsupported, "no way")
		time.Sleep(time.Minute)
		o, err := e.Reload(t.Context(), 0)
		if err != nil || o.Kind != lc.OutcomeApplied || s.launches != 2 {
			t.Errorf("outcome %+v, %v, launches %d", o, err, s.launches)
		}
	})
}
