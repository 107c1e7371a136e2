package health_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehost/gatehost/host/internal/health"
	"github.com/gatehost/gatehost/internal/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errGone = errors.New("not connected")

// gateway answers as its knobs say. mu guards what is counted.
type gateway struct {
	m *health.Monitor

	Slow   map[string]bool // methods that are never answered
	Answer func(method string) error

	mu    sync.Mutex
	asked []time.Duration // when system-presence was asked, since the begin
	told  []string
	began time.Time
}

func watch(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{Slow: map[string]bool{}, Answer: func(string) error { return nil }, began: time.Now()}
	category := func(err error) health.Category { return health.CategoryOf(err, errGone) }
	g.m = health.New(health.Options{
		Ask: func(ctx context.Context, method string) error {
			began, session := time.Now(), g.m.Session()
			g.mu.Lock()
			if method == "system-presence" {
				g.asked = append(g.asked, began.Sub(g.began))
			}
			g.mu.Unlock()
			err := g.Answer(method)
			if g.Slow[method] {
				<-ctx.Done()
				err = fmt.Errorf("RPC timeout: %s: %w", method, ctx.Err())
			}
			g.m.Called(session, method, time.Since(began), category(err))
			return err
		},
		OnReady: func(ready bool, by string) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.told = append(g.told, fmt.Sprint(ready, " ", by))
		},
		Category: category,
	})
	t.Cleanup(g.m.Close)
	return g
}

func (g *gateway) ready() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Join(g.told, ", ")
}

func TestReadyAfterTheFirstAnswerOfTheRouter(t *testing.T) { // T101, T103
	synctest.Test(t, func(t *testing.T) {
		g := watch(t)
		g.m.Opened()
		time.Sleep(time.Second)
		synctest.Wait()
		if g.m.View().Ready {
			t.Error("ready after 1 s, before anything was asked")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if v := g.m.View(); !v.Ready || v.Router != health.RouterReady || g.ready() != "true probe" {
			t.Errorf("after 2 s: %+v, told %q", v, g.ready())
		}
		time.Sleep(time.Hour)
		if len(g.asked) != 1 {
			t.Errorf("asked %v, want once", g.asked)
		}
		g.m.Opened()
		if g.m.View().Ready || g.ready() != "true probe, false " {
			t.Errorf("a new session is ready at once: %q", g.ready())
		}
		g.m.Close()
	})
}

func TestReadinessIsAskedForEverMoreSeldom(t *testing.T) { // B279, T104
	synctest.Test(t, func(t *testing.T) {
		g := watch(t)
		g.Answer = func(string) error {
			return &frame.Error{Code: "UNAVAILABLE", Message: "still starting", Retryable: true}
		}
		g.m.Opened()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if g.m.View().Ready {
			t.Error("ready though every probe failed")
		}
		if got := fmt.Sprint(g.asked); got != "[1.5s 4.5s 9.5s 17.5s 29.5s 59.5s 1m29.5s 1m59.5s]" {
			t.Errorf("asked at %s", got)
		}
		g.m.Closed(1006)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(g.asked) != 8 {
			t.Errorf("asked %d times, also after the session was over", len(g.asked))
		}
		g.m.Close()
	})
}

func TestReadyEventEndsTheAsking(t *testing.T) { // T102, T105
	for _, name := range []string{"ready", "gateway.ready"} {
		synctest.Test(t, func(t *testing.T) {
			g := watch(t)
			g.m.Event(name) // before there is a session: of one that is over
			g.m.Opened()
			time.Sleep(time.Second)
			g.m.Event(name)
			g.m.Event(name)
			time.Sleep(30 * time.Second)
			synctest.Wait()
			if g.ready() != "true event" || len(g.asked) != 0 {
				t.Errorf("%s: told %q, asked %v", name, g.ready(), g.asked)
			}
			g.m.Close()
		})
	}
}

func TestGatewayThatDoesNotKnowTheProbeIsReadyAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := watch(t)
		g.Answer = func(string) error {
			return &frame.Error{Code: "INVALID_REQUEST", Message: "unknown method: system-presence"}
		}
		g.m.Opened()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !g.m.View().Ready {
			t.Error("a router that refuses does answer")
		}
		g.m.Close()
	})
}

func TestDiagnosticsFollowCallsAndTheClose(t *testing.T) { // T091, T092, T093
	synctest.Test(t, func(t *testing.T) {
		g := watch(t)
		g.m.Opened()
		s := g.m.Session()
		g.m.Called(s, "status", time.Second, health.OK)
		g.m.Called(s, "system-presence", 5*time.Second, health.Timeout)
		v := g.m.View()
		if v.LastCallOK.IsZero() || v.LastCallFailed.IsZero() || v.LastFailedMethod != "system-presence" ||
			v.ConsecutiveFailures != 1 {
			t.Errorf("after a timeout of the probe: %+v", v)
		}
		g.m.Called(s, "channels.status", time.Second, health.Refused)
		if v := g.m.View(); v.ConsecutiveFailures != 0 || v.Capabilities["channels"].State != health.Degraded ||
			v.LastFailedMethod != "channels.status" {
			t.Errorf("after an error that the gateway declared: %+v", v)
		}
		g.m.Called(s, "doctor.memory.status", time.Second, health.Timeout)
		if v := g.m.View(); v.ConsecutiveFailures != 0 ||
			v.Capabilities["memory"] != (health.Capability{
				State: health.Degraded, At: time.Now(),
				Duration: time.Second, Error: health.Timeout,
			}) {
			t.Errorf("after a timeout of a capability: %+v", v)
		}
		g.m.Called(s, "whatever", time.Second, health.Disconnected)
		g.m.Called(s, "whatever", time.Second, health.Cancelled)
		if v := g.m.View(); v.ConsecutiveFailures != 1 {
			t.Errorf("failures = %d, want the one that the transport is to blame for", v.ConsecutiveFailures)
		}
		g.m.Closed(1006)
		if v := g.m.View(); v.LastCloseCode != 1006 || v.LastClose.IsZero() || v.Connected ||
			v.Capabilities["memory"].State != health.Unknown {
			t.Errorf("after the close: %+v", v)
		}
		g.m.Called(s, "memory", time.Second, health.OK) // of the session that is over
		if v := g.m.View(); v.Router != health.RouterUnknown {
			t.Errorf("router = %s after an answer of an older session", v.Router)
		}
		g.m.Close()
	})
}

func TestSlowHealthDoesNotMakeTheTransportSick(t *testing.T) { // T094
	synctest.Test(t, func(t *testing.T) {
		g := watch(t)
		g.m.Opened()
		g.Slow["health"], g.Slow["status"] = true, true
		began := time.Now()
		ok := g.m.Check(t.Context(), false)
		v := g.m.View()
		if !ok || time.Since(began) != 3*time.Second || v.ConsecutiveFailures != 0 {
			t.Errorf("ok = %t after %v, failures = %d, want true after 3 s and none", ok, time.Since(began),
				v.ConsecutiveFailures)
		}
		for _, name := range []string{"health", "status"} {
			if c := v.Capabilities[name]; c.State != health.Degraded || c.Error != health.Timeout {
				t.Errorf("%s = %+v", name, c)
			}
		}
		if state, why := v.Overall(health.Signs{Up: true}); state != health.Degraded ||
			fmt.Sprint(why) != "[health status]" {
			t.Errorf("the whole is %s for %v", state, why)
		}
		began = time.Now()
		if !g.m.Check(t.Context(), true) || time.Since(began) != 8*time.Second {
			t.Errorf("a probing check took %v, want 8 s and the router's answer", time.Since(began))
		}
		g.Slow["system-presence"] = true
		if g.m.Check(t.Context(), true) {
			t.Error("a router that does not answer is well")
		}
		g.m.Close()
	})
}

func TestRouterIsBlockedWhenAProbeFailsAfterReady(t *testing.T) { // T095
	synctest.Test(t, func(t *testing.T) {
		g := watch(t)
		g.m.Opened()
		s := g.m.Session()
		g.m.Called(s, "system-presence", 5*time.Second, health.Timeout)
		if v := g.m.View(); v.Router != health.RouterUnknown {
			t.Errorf("router = %s before it was ready", v.Router)
		}
		g.m.Event("ready")
		g.m.Called(s, "system-presence", 5*time.Second, health.Timeout)
		v := g.m.View()
		if state, _ := v.Overall(health.Signs{Up: true}); v.Router != health.RouterBlocked ||
			state != health.Unresponsive {
			t.Errorf("router = %s, the whole is %s", v.Router, state)
		}
		g.m.Called(s, "health", time.Millisecond, health.OK)
		if v := g.m.View(); v.Router != health.RouterReady {
			t.Errorf("router = %s after an answer", v.Router)
		}
		g.m.Close()
	})
}

func TestMissedPongsDegradeAndNoMore(t *testing.T) { // T096
	synctest.Test(t, func(t *testing.T) {
		g := watch(t)
		g.m.Opened()
		g.m.Event("ready")
		v := g.m.View()
		if state, why := v.Overall(health.Signs{Up: true, MissedPongs: 4}); state != health.Degraded ||
			fmt.Sprint(why) != "[missed-pongs]" {
			t.Errorf("the whole is %s for %v", state, why)
		}
		if state, _ := v.Overall(health.Signs{Up: true}); state != health.Healthy {
			t.Errorf("the whole is %s", state)
		}
		g.m.Close()
	})
}

// TestSuppressedChannelsDegradeAGatewayThatAnswersEverything: its crash-loop breaker lets it come up in the best of
// health, without its work.
func TestSuppressedChannelsDegradeAGatewayThatAnswersEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := watch(t)
		g.m.Opened()
		g.m.Event("ready")
		if state, why := g.m.View().Overall(health.Signs{Up: true, Suppressed: true}); state != health.Degraded ||
			fmt.Sprint(why) != "[channels-suppressed]" {
			t.Errorf("the whole is %s for %v", state, why)
		}
		g.m.Close()
	})
}

func TestEventsOfTheGatewayShowItsCapabilities(t *testing.T) { // T119
	synctest.Test(t, func(t *testing.T) {
		g := watch(t)
		g.m.Opened()
		for event, capability := range map[string]string{
			"health": "health", "presence": "presence",
			"channel.status_changed": "channels",
		} {
			g.m.Event(event)
			if got := g.m.View().Capabilities[capability]; got.State != health.Healthy || !got.At.Equal(time.Now()) {
				t.Errorf("after %s: %s = %+v", event, capability, got)
			}
		}
		g.m.Close()
	})
}

func TestErrorsBecomeCategories(t *testing.T) { // B276, T087
	const secret = "token-canary-123456"
	for _, row := range []struct {
		err  error
		want health.Category
	}{
		{nil, health.OK},
		{&frame.Error{Code: "INVALID_REQUEST", Message: secret}, health.Refused},
		{&frame.Error{Code: "X", Message: secret, Retryable: true}, health.Unavailable},
		{fmt.Errorf("%w: %s", errGone, secret), health.Disconnected},
		{fmt.Errorf("%s: %w", secret, context.DeadlineExceeded), health.Timeout},
		{errors.New("it Timed Out for " + secret), health.Timeout},
		{errors.New("timeouts " + secret), health.Failed},
		{context.Canceled, health.Cancelled},
		{errors.New(secret), health.Failed},
	} {
		if got := health.CategoryOf(row.err, errGone); got != row.want {
			t.Errorf("category of %v = %q, want %q", row.err, got, row.want)
		}
	}
}
