package pluginhost

import (
	"strings"
	"testing"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// TestWhatRunsProgramsIsNotUsedWithoutMutualTLS: who connects to a launcher runs programs by it.
func TestWhatRunsProgramsIsNotUsedWithoutMutualTLS(t *testing.T) {
	info := plugin.Info{Name: "x", Version: "1.0.0"}
	for _, kind := range plugin.Kinds() {
		info.Services = append(info.Services, plugin.ServiceInfo{Kind: kind, MinVersion: 1, MaxVersion: 1})
	}
	for _, socket := range []bool{true, false} {
		services, err := negotiate(info, "test", Speaks(), socket)
		if err != nil || len(services) != len(plugin.Kinds()) {
			t.Fatalf("%+v, %v", services, err)
		}
		for _, s := range services {
			refused := socket && (s.Kind == plugin.KindLauncher || s.Kind == plugin.KindUnloader)
			if refused != (s.Err != nil) || refused != (s.Version == 0) {
				t.Errorf("socket %t, %s: version %d, %v", socket, s.Kind, s.Version, s.Err)
			}
			if refused && (!strings.Contains(s.Err.Error(), "mutual TLS only") || fault.HintOf(s.Err) == "") {
				t.Errorf("%s: %v, hint %q", s.Kind, s.Err, fault.HintOf(s.Err))
			}
		}
	}
	info.Services = []plugin.ServiceInfo{{Kind: plugin.KindLauncher, MinVersion: 1, MaxVersion: 1}}
	if _, err := negotiate(info, "test", Speaks(), true); err == nil || !strings.Contains(err.Error(), "mutual TLS only") {
		t.Errorf("a launcher alone: %v", err)
	}
}
