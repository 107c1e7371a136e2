package gateway

import (
	"runtime"
	"testing"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/shared/plugin"
)

func TestFactsOfAGatewaySayWhichHostAsks(t *testing.T) { // R45
	cfg := &config.Gateway{Name: "main", Port: 4711, Launch: config.Launch{Profile: "plain", Command: []string{"x"}}}
	g := bare(cfg)
	g.env.Version = "1.2.3"
	f := g.factsOf(cfg, profile.Result{})
	want := plugin.HostInfo{Version: "1.2.3", OS: runtime.GOOS, Arch: runtime.GOARCH}
	if f.Host != want || f.Port != 4711 {
		t.Errorf("facts = %+v, want the host %+v", f, want)
	}
}
