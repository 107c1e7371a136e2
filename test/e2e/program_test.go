package e2e_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func (g gatewayStatus) condition(code string) (condition, bool) {
	i := slices.IndexFunc(g.Conditions, func(c condition) bool { return c.Code == code })
	if i < 0 {
		return condition{}, false
	}
	return g.Conditions[i], true
}

// TestGatewayWhoseFilesWereReplacedSaysSoUntilItIsRestarted: its own advice restarts another thing.
func TestGatewayWhoseFilesWereReplacedSaysSoUntilItIsRestarted(t *testing.T) {
	s := newSite(t, emulator("stale-install"))
	s.run()
	s.awaitState("running")
	_, errOut, code := s.cli("rpc", "main", "channels.status")
	if code == 0 || !strings.Contains(errOut, "STALE_INSTALL") {
		t.Errorf("the call: exit %d, %s", code, errOut)
	}
	got := s.await("the condition", func(g gatewayStatus) bool {
		_, ok := g.condition("install-replaced")
		return ok
	})
	if c, _ := got.condition("install-replaced"); !strings.Contains(c.Hint, "`gatehost restart main`") {
		t.Errorf("condition = %+v", c)
	}
	s.must("restart", "main")
	s.await("without the condition", func(g gatewayStatus) bool {
		_, ok := g.condition("install-replaced")
		return g.State == "running" && !ok
	})
	s.shutdown()
}

// TestGatewayThatUsedUpItsHeapSaysWhyItWasGone: it is started again by itself, and then nothing else shows it.
func TestGatewayThatUsedUpItsHeapSaysWhyItWasGone(t *testing.T) {
	s := newSite(t, emulator("out-of-heap-after=500"))
	s.run()
	got := s.await("another process", func(g gatewayStatus) bool {
		_, ok := g.condition("out-of-memory")
		return g.State == "running" && ok // on a busy machine it can end before it is ready: that is no restart
	})
	if c, _ := got.condition("out-of-memory"); !strings.Contains(c.Hint, "max-old-space-size") {
		t.Errorf("condition = %+v", c)
	}
	s.shutdown()
}

// TestKeysOfAPluginAreShownBeforeAndWhileItRuns: the plugin describes them, for operators.
func TestKeysOfAPluginAreShownBeforeAndWhileItRuns(t *testing.T) {
	s := newSite(t, emulator(""))
	path := filepath.Join(bin, "plugins", "doctor-environment")
	if out := s.must("plugin", "info", path, "--describe"); !strings.Contains(out, "not-started") ||
		!strings.Contains(out, "keys of [plugins.doctor-environment.config]:\n  min_free_mib (integer, default 64): ") {
		t.Errorf("without a host:\n%s", out)
	}
	s.writeConfig(strings.Replace(s.config(), `doctors = ["doctor"]`, `doctors = ["doctor-environment"]`, 1))
	s.run()
	s.awaitState("running")
	s.eventually("the keys", func() (bool, string) {
		out := s.must("plugin", "info", "doctor-environment")
		return strings.Contains(out, "  min_free_mib (integer, default 64): "), out
	})
	s.shutdown()
}
