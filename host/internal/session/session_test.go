package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/internal/frame"
	"github.com/gatehost/gatehost/shared/gatewaytest"
)

func TestCallsAreAnswered(t *testing.T) {
	s := dial(t, options(gateway(t, &gatewaytest.Server{Handlers: map[string]gatewaytest.Handler{
		"echo": func(_ context.Context, c gatewaytest.Call) (any, error) { return c.Params, nil },
	}})))
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			params, _ := json.Marshal(map[string]int{"n": i})
			got, err := s.Call(t.Context(), "echo", params)
			if err != nil || string(got) != string(params) {
				t.Errorf("echo of %s = %s, %v", params, got, err)
			}
		})
	}
	all.Wait()
	if got, err := s.Call(t.Context(), "last-heartbeat", nil); err != nil || got != nil {
		t.Errorf("null = %s, %v", got, err) // B158
	}
	if _, err := s.Call(t.Context(), "health", json.RawMessage("{nope")); err == nil ||
		!strings.Contains(err.Error(), "not JSON") {
		t.Errorf("broken params: %v", err)
	}
}

func TestRefusalsOfCallsKeepWhatTheGatewaySaid(t *testing.T) { // B157
	o := options(gateway(t, &gatewaytest.Server{Handlers: map[string]gatewaytest.Handler{
		"later": func(context.Context, gatewaytest.Call) (any, error) {
			return nil, &gatewaytest.Error{
				Code: "UNAVAILABLE", Message: "later", Retryable: true,
				RetryAfterMs: 86400_000,
			}
		},
	}}))
	o.Scopes = []string{"operator.read"}
	s := dial(t, o)
	_, err := s.Call(t.Context(), "gateway.restart.request", nil)
	if e, ok := errors.AsType[*frame.Error](err); !ok || e.Code != "FORBIDDEN" || e.Reason != "MISSING_SCOPE" ||
		!strings.Contains(string(e.Details), "operator.admin") {
		t.Errorf("missing scope: %#v", err)
	}
	_, err = s.Call(t.Context(), "later", nil)
	if e, ok := errors.AsType[*frame.Error](err); !ok || !e.Retryable || e.RetryAfter != frame.MaxRetryAfter {
		t.Errorf("later: %#v", err)
	}
}

func TestCallThatTimesOutNamesItsMethodAndItsLateAnswerIsCounted(t *testing.T) { // B151, B153, B159
	virtual(t, &gatewaytest.Server{Misbehave: "late-answers=40000"}, func(t *testing.T, o session.Options) {
		s, err := session.Dial(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer hangUp(s)
		began := time.Now()
		_, err = s.Call(t.Context(), "status", nil)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "RPC timeout: status") ||
			time.Since(began) != 30*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if got := s.Stats().UnexpectedIDs; got != 1 {
			t.Errorf("unexpected answers = %d, want the late one", got)
		}
		select {
		case <-s.Done():
			t.Error("a timeout ended the session") // B163
		default:
		}
	})
}

func TestSecondAnswersAndAnswersToNoCallAreCounted(t *testing.T) { // B155
	for misbehave, want := range map[string]int{"duplicate-answers": 3, "odd-answers": 3} {
		s := dial(t, options(gateway(t, &gatewaytest.Server{Misbehave: misbehave})))
		for range 3 {
			if _, err := s.Call(t.Context(), "health", nil); err != nil {
				t.Error(err)
			}
		}
		// An answer may be here before the writer has counted what it wrote.
		eventually(t, misbehave, func() bool { st := s.Stats(); return st.UnexpectedIDs == want && st.FramesOut == 3 })
		if st := s.Stats(); st.FramesIn < 6 {
			t.Errorf("%s: frames in %d, want two answers for each of 3 calls", misbehave, st.FramesIn)
		}
	}
}

func TestCancelledCallEndsAtOnce(t *testing.T) { // B160
	s := dial(t, options(gateway(t, &gatewaytest.Server{Misbehave: "no-answers"})))
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("never mind")
	time.AfterFunc(20*time.Millisecond, func() { cancel(why) })
	if _, err := s.Call(ctx, "health", nil); !errors.Is(err, why) {
		t.Errorf("err = %v", err)
	}
}

func TestLostConnectionRejectsAllCallsAtOnce(t *testing.T) { // B137
	g := gateway(t, &gatewaytest.Server{Misbehave: "no-answers"})
	s := dial(t, options(g))
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := s.Call(t.Context(), "health", nil); !errors.Is(err, session.ErrNotConnected) {
				t.Errorf("err = %v", err)
			}
		})
	}
	eventually(t, "all calls are there", func() bool { return g.Calls()["health"] == 20 })
	g.CutAll()
	all.Wait()
	if end := over(t, s); end.Code != 1006 || end.Shutdown || end.Restart || end.Err == nil {
		t.Errorf("end = %+v", end)
	}
	if _, err := s.Call(t.Context(), "health", nil); !errors.Is(err, session.ErrNotConnected) {
		t.Errorf("a call after the end: %v", err) // B152
	}
}

// TestCallsUnderWayAtARestartSayThatItRestarts is B205; a gateway that stops says the same code, and is only gone.
func TestCallsUnderWayAtARestartSayThatItRestarts(t *testing.T) {
	for _, row := range []struct {
		name string
		end  func(g *gatewaytest.Server)
		want error
		text string
	}{
		{
			"it restarts", func(g *gatewaytest.Server) { _ = g.Restart(context.Background(), "") },
			session.ErrServiceRestart, "Gateway service restart",
		},
		{"it stops", func(g *gatewaytest.Server) { g.Stop() }, session.ErrNotConnected, "Gateway not connected"},
	} {
		g := gateway(t, &gatewaytest.Server{Misbehave: "no-answers"})
		s := dial(t, options(g))
		failed := make(chan error, 1)
		go func() {
			_, err := s.Call(t.Context(), "health", nil)
			failed <- err
		}()
		eventually(t, "the call is there", func() bool { return g.Calls()["health"] == 1 })
		row.end(g)
		if err := <-failed; !errors.Is(err, row.want) || !errors.Is(err, session.ErrNotConnected) ||
			err.Error() != row.text {
			t.Errorf("%s: %v", row.name, err)
		}
		if _, err := s.Call(t.Context(), "health", nil); err == nil || errors.Is(err, session.ErrServiceRestart) {
			t.Errorf("%s: a call after it: %v", row.name, err) // B152
		}
	}
}

func TestUnansweredCallsAreCapped(t *testing.T) { // B161
	s := dial(t, options(gateway(t, &gatewaytest.Server{Misbehave: "no-answers"})))
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var mu sync.Mutex
	busy := 0
	for range 1500 {
		all.Go(func() {
			if _, err := s.Call(ctx, "health", nil); errors.Is(err, session.ErrBusy) {
				mu.Lock()
				defer mu.Unlock()
				busy++
			}
		})
	}
	eventually(t, "calls over the cap are rejected", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return busy >= 1500-1024
	})
	cancel()
	all.Wait()
}

func TestPeerThatDoesNotReadIsLeft(t *testing.T) { // B161
	virtual(t, &gatewaytest.Server{Misbehave: "deaf-after=1000"}, func(t *testing.T, o session.Options) {
		s, err := session.Dial(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if _, err := s.Call(t.Context(), "health", nil); err != nil {
			t.Errorf("the last frame that it reads: %v", err)
		}
		began := time.Now()
		var all sync.WaitGroup
		var mu sync.Mutex
		seen := map[error]int{}
		for range 300 { // one is being written, 256 wait
			all.Go(func() {
				_, err := s.Call(t.Context(), "health", nil)
				mu.Lock()
				defer mu.Unlock()
				seen[err]++
			})
		}
		all.Wait()
		if seen[session.ErrBusy] < 40 || seen[session.ErrBusy]+seen[session.ErrNotConnected] != 300 ||
			time.Since(began) > 15*time.Second {
			t.Errorf("errors %v after %v", seen, time.Since(began))
		}
		<-s.Done()
	})
}

func TestEventsComeInOrderWithTheirKinds(t *testing.T) {
	g := gateway(t, &gatewaytest.Server{})
	o := options(g)
	events := make(chan session.Event, 16)
	o.OnEvent = func(e session.Event) { events <- e }
	dial(t, o)
	for i, row := range []struct {
		name string
		kind session.Kind
	}{
		{"chat", session.KindChat},
		{"channel.status", session.KindChannelStatus},
		{"channel.status_changed", session.KindChannelStatus},
		{"agent", session.KindNotification},
		{"tick", session.KindTick},
		{"gateway.ready", session.KindState},
		{"ready", session.KindState},
		{"health", session.KindState},
		{"presence", session.KindState},
		{"chat.message_received", session.KindChat},
		{"shutdown", session.KindState},
		{"sessions.changed", session.KindNotification},
	} {
		g.Broadcast(row.name, map[string]any{"i": i})
		e := <-events
		if e.Name != row.name || e.Kind() != row.kind || e.Seq != int64(i+1) ||
			!strings.Contains(string(e.Payload), `"i":`) {
			t.Errorf("event %d = %+v (%s), want %s (%s)", i, e, e.Kind(), row.name, row.kind)
		}
	}
	if k := (session.Event{Payload: json.RawMessage(`{}`)}).Kind(); k != session.KindMessage {
		t.Errorf("kind of anything else = %s", k)
	}
}

func TestGarbageAfterTheHandshakeIsCountedAndTheSessionLives(t *testing.T) { // B140
	s := dial(t, options(gateway(t, &gatewaytest.Server{Misbehave: "garbage-after=1"})))
	eventually(t, "the bad frame is counted", func() bool { return s.Stats().BadFrames == 1 })
	if _, err := s.Call(t.Context(), "health", nil); err != nil {
		t.Error(err)
	}
}

// TestFramesOfALaunchedProcessThatAreNoJSONAreCountedAndIgnored: more of them than frames that may come before hello.
func TestFramesOfALaunchedProcessThatAreNoJSONAreCountedAndIgnored(t *testing.T) { // B140
	o := options(gateway(t, &gatewaytest.Server{Misbehave: "garbage-before=300"}))
	o.Launched = true
	s := dial(t, o)
	if got := s.Stats().BadFrames; got != 600 {
		t.Errorf("bad frames = %d, want 300 before the challenge and 300 before hello", got)
	}
	if _, err := s.Call(t.Context(), "health", nil); err != nil {
		t.Error(err)
	}
}

func TestFrameOfAStrangerThatIsNoJSONEndsTheHandshake(t *testing.T) {
	got := refused(t, options(gateway(t, &gatewaytest.Server{Misbehave: "garbage-before=1"})))
	if got.Code != "garbage" || got.Retryable {
		t.Errorf("error = %+v, want one that is not tried again at once", got)
	}
}

func TestLaunchedProcessThatSendsNoJSONAtAllMissesTheDeadline(t *testing.T) {
	o := options(gateway(t, &gatewaytest.Server{Misbehave: "binary-garbage"}))
	o.Launched, o.ChallengeTimeout = true, 300*time.Millisecond
	got := refused(t, o)
	if got.Code != "challenge_timeout" || !got.Retryable || !strings.Contains(got.Message, "16 of its frames") {
		t.Errorf("error = %+v, want a timeout that counts 16 frames", got)
	}
}

func TestOversizedFrameEndsTheSession(t *testing.T) { // B142
	s := dial(t, options(gateway(t, &gatewaytest.Server{Misbehave: "oversized-frame-after=1"})))
	if end := over(t, s); end.Err == nil || !strings.Contains(end.Err.Error(), "limit") {
		t.Errorf("end = %+v", end)
	}
}

func TestRequestThatTheGatewayWouldNotTakeIsNotSent(t *testing.T) {
	g := gateway(t, &gatewaytest.Server{})
	s := dial(t, options(g))
	big, _ := json.Marshal(strings.Repeat("x", 26<<20))
	if _, err := s.Call(t.Context(), "health", big); err == nil || !strings.Contains(err.Error(), "26214400") {
		t.Errorf("err = %v", err)
	}
	if _, err := s.Call(t.Context(), "health", nil); err != nil {
		t.Errorf("the session is unharmed: %v", err)
	}
}

func TestEndTellsStopFromRestart(t *testing.T) { // docs/openclaw.md §8
	for _, row := range []struct {
		name string
		end  func(g *gatewaytest.Server)
		want session.End
	}{
		{
			"the gateway stops", func(g *gatewaytest.Server) { g.Stop() },
			session.End{Code: 1012, Reason: "service restart", Shutdown: true, Said: "gateway stopping"},
		},
		{
			"it restarts", func(g *gatewaytest.Server) { _ = g.Restart(context.Background(), "") },
			session.End{
				Code: 1012, Reason: "service restart", Shutdown: true, Said: "gateway restarting",
				Restart: true, Expected: 1500 * time.Millisecond,
			},
		},
		{"an old one stops", func(g *gatewaytest.Server) {
			g.Broadcast("shutdown", map[string]any{"reason": "gateway stopping", "restartExpectedMs": nil})
			g.CloseAll(1012, "service restart")
		}, session.End{Code: 1012, Reason: "service restart", Shutdown: true, Said: "gateway stopping"}},
		{"it is stopped while it restarts", func(g *gatewaytest.Server) {
			g.Broadcast("shutdown", map[string]any{"reason": "gateway restarting", "restartExpectedMs": 1500})
			g.Broadcast("shutdown", map[string]any{"reason": "gateway stopping", "restartExpectedMs": nil})
			g.CloseAll(1012, "service restart")
		}, session.End{Code: 1012, Reason: "service restart", Shutdown: true, Said: "gateway stopping"}},
		{
			"1012 without a word", func(g *gatewaytest.Server) { g.CloseAll(1012, "") },
			session.End{Code: 1012, Restart: true},
		},
		{
			"a policy violation", func(g *gatewaytest.Server) { g.CloseAll(1008, "no") },
			session.End{Code: 1008, Reason: "no"},
		},
		{"nonsense is announced", func(g *gatewaytest.Server) {
			g.Broadcast("shutdown", map[string]any{"reason": "x", "restartExpectedMs": -1e300})
			g.CloseAll(1012, "")
		}, session.End{Code: 1012, Shutdown: true, Said: "x", Restart: true}},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := gateway(t, &gatewaytest.Server{})
			s := dial(t, options(g))
			row.end(g)
			got := over(t, s)
			got.Err = nil
			if got != row.want {
				t.Errorf("end = %+v, want %+v", got, row.want)
			}
		})
	}
}

func TestNewSessionAfterRestartHasANewBootID(t *testing.T) {
	g := gateway(t, &gatewaytest.Server{})
	s := dial(t, options(g))
	if err := g.Restart(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	over(t, s)
	<-g.Ready()
	if again := dial(t, options(g)); again.Hello().BootID == s.Hello().BootID {
		t.Error("the bootId did not change")
	}
}

func TestCloseIsPoliteAndLeavesNothing(t *testing.T) {
	g := gateway(t, &gatewaytest.Server{})
	s := dial(t, options(g))
	hangUp(s)
	if end := s.End(); end.Code != 1000 {
		t.Errorf("end = %+v", end)
	}
	eventually(t, "the gateway has no session", func() bool { return g.Sessions() == 0 })
	hangUp(s) // again is harmless
}

func TestCloseOfASilentPeerIsBounded(t *testing.T) { // B213
	virtual(t, &gatewaytest.Server{Misbehave: "silent-after=1"}, func(t *testing.T, o session.Options) {
		s, err := session.Dial(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		began := time.Now()
		hangUp(s)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestMissedPongsAndTicksAreSignsOnly(t *testing.T) { // T071
	virtual(t, &gatewaytest.Server{Misbehave: "silent-after=10000"}, func(t *testing.T, o session.Options) {
		alive, changes := 0, 0
		o.OnAlive = func() { alive++ }
		o.OnPings = func() { changes++ }
		s, err := session.Dial(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer hangUp(s)
		time.Sleep(5*time.Minute + time.Second)
		synctest.Wait()
		st := s.Stats()
		if changes != st.Unanswered || changes != 9 {
			t.Errorf("OnPings was called %d times for %d unanswered pings", changes, st.Unanswered)
		}
		if st.MissedPongs != 9 || st.MissedTicks == 0 || time.Since(st.LastFrameAt) < 4*time.Minute ||
			time.Since(st.LastMissAt) > time.Minute {
			t.Errorf("stats = %+v", st)
		}
		select {
		case <-s.Done():
			t.Errorf("the session judged by itself: %+v", s.End())
		default:
		}
	})
}

func TestPingsFollowAnotherPaceAtOnce(t *testing.T) {
	virtual(t, &gatewaytest.Server{Misbehave: "no-ticks"}, func(t *testing.T, o session.Options) {
		o.Ping = time.Hour
		s, err := session.Dial(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer hangUp(s)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if !s.Stats().LastPongAt.IsZero() {
			t.Error("there was a ping before its time")
		}
		s.SetPing(time.Minute, time.Second)
		time.Sleep(30 * time.Second)
		s.SetPing(time.Minute, time.Second) // the same again does not put it off
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if st := s.Stats(); st.LastPongAt.IsZero() || time.Since(st.LastPongAt) > 2*time.Second {
			t.Errorf("stats = %+v", st)
		}
	})
}

func TestHealthySessionMissesNothing(t *testing.T) {
	virtual(t, &gatewaytest.Server{}, func(t *testing.T, o session.Options) {
		alive := 0
		o.OnAlive = func() { alive++ }
		s, err := session.Dial(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer hangUp(s)
		time.Sleep(time.Hour + time.Second)
		synctest.Wait()
		st := s.Stats()
		if st.MissedPongs != 0 || st.MissedTicks != 0 || st.EventsReceived < 120 || alive < 240 ||
			st.LastTickAt.IsZero() || st.LastPongAt.IsZero() {
			t.Errorf("alive = %d, stats = %+v", alive, st)
		}
	})
}

// TestGatewayCutsAPeerThatDoesNotPong: what the emulator owes to docs/openclaw.md §9 is seen as a cut.
func TestGatewayCutsAPeerThatDoesNotPong(t *testing.T) {
	virtual(t, &gatewaytest.Server{Misbehave: "cut-after=75000"}, func(t *testing.T, o session.Options) {
		s, err := session.Dial(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		<-s.Done()
		if end := s.End(); end.Code != 1006 || end.Restart {
			t.Errorf("end = %+v", end)
		}
	})
}

func TestTraceIsToldOfEveryFrame(t *testing.T) { // B352
	o := options(gateway(t, &gatewaytest.Server{}))
	var mu sync.Mutex
	var seen []string
	o.Trace = func(sent bool, data []byte) {
		mu.Lock()
		defer mu.Unlock()
		words := strings.Fields(frame.Summary(data))
		line := map[bool]string{true: "out ", false: "in "}[sent] + words[0]
		if len(words) > 2 {
			line += " " + words[2] // the id differs each time
		}
		seen = append(seen, line)
	}
	s := dial(t, o)
	if _, err := s.Call(t.Context(), "health", nil); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	// how many come depends on time
	got := slices.DeleteFunc(seen, func(line string) bool { return line == "in event" })
	if want := "out req method=connect, in res ok=true, out req method=health, in res ok=true"; strings.Join(got,
		", ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, ", "), want)
	}
}
