package e2e_test

import (
	"encoding/json"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/internal/testhost"
)

// TestChannelsThatAreHeldBackAreShownAlsoByTheNextHost: three unclean ends within five minutes make OpenClaw come up
// healthy and without its channels. They are counted; that it happened is a condition, with the way out; and a host
// that takes such a gateway up knows it, too.
func TestChannelsThatAreHeldBackAreShownAlsoByTheNextHost(t *testing.T) {
	s := newSite(t, emulator(""))
	s.run()
	now := s.awaitState("running")
	for range 3 {
		if err := testhost.Signal(now.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		now = s.await("another process runs", func(g gatewayStatus) bool { return g.State == "running" && g.PID != now.PID })
	}
	heldBack := func(g gatewayStatus) bool {
		return g.State == "running" && slices.ContainsFunc(g.Conditions, func(c condition) bool {
			return c.Code == "channels-suppressed" && strings.Contains(c.Message, "restart-loop breaker tripped") &&
				strings.Contains(c.Hint, "restarted at") && strings.Contains(c.Hint, "gatehost restart")
		})
	}
	s.await("the condition channels-suppressed, and how it clears", heldBack)
	s.eventually("it is ready, and degraded", func() (bool, string) {
		v := s.view()
		return v.Ready && v.Health.State == "degraded" && slices.Contains(v.Health.Reasons, "channels-suppressed"),
			v.Health.State
	})
	_, text := s.scrape()
	if got := sum(text, "gatehost_gateway_unclean_ends"); got != 3 {
		t.Errorf("%v unclean ends are counted, want 3", got)
	}
	if sum(text, "gatehost_gateway_condition", `code="channels-suppressed"`) != 1 {
		t.Error("the condition is not among the metrics")
	}
	if err := s.host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.exited
	s.startHost()
	adopted := s.await("adopted, with the condition", func(g gatewayStatus) bool { return g.Adopted && heldBack(g) })
	if adopted.PID != now.PID {
		t.Errorf("pid %d, want %d", adopted.PID, now.PID)
	}
	s.must("stop", "main")
	s.shutdown()
}

// TestSessionsThatDoNotLastAreFew: a gateway that closes each session at once is not asked for the next one as fast as
// the network can.
func TestSessionsThatDoNotLastAreFew(t *testing.T) {
	s := newSite(t, emulator("close-after=10:1008"))
	s.run()
	var out string
	s.eventually("an attempt is put off", func() (bool, string) {
		out, _, _ = s.cli("events", "main", "--json")
		for line := range strings.Lines(out) {
			var e struct {
				Type string `json:"type"`
				Data struct {
					Outcome string `json:"outcome"`
					Kind    string `json:"kind"`
					DelayMs int    `json:"delayMs"`
				} `json:"data"`
			}
			if json.Unmarshal([]byte(line), &e) == nil && e.Type == "gateway.reconnect" && e.Data.Kind == "transport" &&
				e.Data.DelayMs >= 700 {
				return true, ""
			}
		}
		return false, out
	})
	if n := strings.Count(out, `"type":"gateway.session.opened"`); n > 8 { // 0, 0, 0.2, 0.4 and 0.8 s apart, by then
		t.Errorf("%d sessions were opened", n)
	}
	if text := s.stderr.String(); !strings.Contains(text, "next try in 0.") {
		t.Errorf("the terminal does not tell of it:\n%s", text)
	}
	s.must("stop", "main")
	s.shutdown()
}
