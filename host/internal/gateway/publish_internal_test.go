package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/metrics"
	"github.com/gatehost/gatehost/host/internal/observe"
	"github.com/gatehost/gatehost/shared/control"
)

func TestRulesOfLaunchesAddUpWithinTheirBound(t *testing.T) {
	all := map[string]uint64{}
	for i := range 10 {
		one := map[string]uint64{"blank": 2}
		for j := range 60 {
			one[fmt.Sprint(i, "-", j)] = 1
		}
		all = sumRules(all, one)
	}
	if all["blank"] != 20 || len(all) != maxRules {
		t.Errorf("blank = %d in %d rules", all["blank"], len(all))
	}
}

// TestFactsAreCounted is B351: facts become metrics in one place.
func TestFactsAreCounted(t *testing.T) {
	g := bare(&config.Gateway{Name: "main"})
	g.env.Hub = events.NewHub(events.Options{})
	defer g.env.Hub.Close()
	g.env.Metrics = metrics.New(func() metrics.Snapshot { return metrics.Snapshot{} })
	code := 1
	watched(g).Observed([]observe.Fact{
		observe.SessionLost{SessionData: control.SessionData{Code: 1012}},
		observe.Restarted{Cause: "exited"},
		observe.Restarted{Cause: "no", Suppressed: true},
		observe.ProcessEnded{ExitData: control.ExitData{Exit: control.Exit{Code: &code}}, Counted: true},
		observe.ProcessEnded{ExitData: control.ExitData{Exit: control.Exit{Code: &code}}},
		observe.ReconnectChanged{ReconnectData: control.ReconnectData{Kind: observe.ByProcess, Cause: "exited", Outcome: control.ReconnectSuccess}},
	})
	w := httptest.NewRecorder()
	g.env.Metrics.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for _, want := range []string{
		`gatehost_gateway_sessions_lost_total{code="1012",gateway="main"} 1`,
		`gatehost_gateway_restarts_total{cause="exited",gateway="main",outcome="executed"} 1`,
		`gatehost_gateway_restarts_total{cause="no",gateway="main",outcome="suppressed"} 1`,
		`gatehost_gateway_reconnects_total{cause="exited",gateway="main",kind="process",outcome="success"} 1`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("there is no %s in\n%s", want, w.Body)
		}
	}
	if n := strings.Count(w.Body.String(), `gatehost_gateway_exits_total{`); n != 1 || !strings.Contains(w.Body.String(), `} 1`) {
		t.Errorf("%d kinds of exits are counted, want the one that counts\n%s", n, w.Body)
	}
}
