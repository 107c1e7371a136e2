package release_test

import (
	"slices"
	"testing"

	"github.com/gatehost/gatehost/internal/release"
	"github.com/gatehost/gatehost/shared/gatewaytest"
)

func TestReloadIsAskedForInAWayThatTheReleaseIsKnownToHandle(t *testing.T) {
	rpc := []string{"health", release.MethodRestart}
	for _, row := range []struct {
		name, version string
		methods       []string
		known         bool
		want          []release.Method
	}{
		{"protocol 3 has no rpc", "2026.3.13", []string{"health"}, true, []release.Method{release.SIGUSR1}},
		{"the middle one", "2026.5.27", rpc, true, []release.Method{release.RPC, release.SIGUSR1}},
		{"the newest one", "2026.9.6", rpc, true, []release.Method{release.RPC, release.SIGUSR2}},
		{"a leading v is no other release", "v2026.9.6", rpc, true, []release.Method{release.RPC, release.SIGUSR2}},
		{"the table where no methods came", "2026.9.6", nil, true, []release.Method{release.RPC, release.SIGUSR2}},
		{"what it advertises beats the table", "2026.9.6", []string{"health"}, true, []release.Method{release.SIGUSR2}},
		{"newer, advertised", "2026.10.1", rpc, false, []release.Method{release.RPC}},
		{"newer, not advertised", "2026.10.1", []string{"health"}, false, nil},
		{"between two rows", "2026.6.1", []string{"health"}, false, nil},
		{"a patch of a known one", "2026.9.7", rpc, false, []release.Method{release.RPC}},
		{"a pre-release of a known one", "2026.9.6-beta.1", nil, false, nil},
		{"older", "2026.1.1", nil, false, nil},
		{"no version", "", nil, false, nil},
		{"no OpenClaw", "banana", nil, false, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			q := release.Of(row.version, row.methods)
			if q.Known != row.known || !slices.Equal(q.Reload, row.want) {
				t.Errorf("Of(%q) = known %v, reload by %v; want %v, %v", row.version, q.Known, q.Reload, row.known,
					row.want)
			}
		})
	}
}

// TestNoSignalIsSentThatKillsOrOpensAPort holds for each version what must never happen.
func TestNoSignalIsSentThatKillsOrOpensAPort(t *testing.T) {
	for _, row := range []struct {
		version    string
		usr1, usr2 bool
	}{
		{"2026.3.13", true, false},
		{"2026.5.27", true, false},
		{"2026.9.6", false, true},
		{"2026.9.7", false, false},
		{"2027.1.1", false, false},
		{"2026.4.1", false, false},
		{"", false, false},
	} {
		for _, methods := range [][]string{nil, {"health"}, {release.MethodRestart}} {
			q := release.Of(row.version, methods)
			if q.MaySignal(release.SIGUSR1) != row.usr1 || q.MaySignal(release.SIGUSR2) != row.usr2 {
				t.Errorf("%q: SIGUSR1 %v, SIGUSR2 %v; want %v, %v", row.version, q.MaySignal(release.SIGUSR1),
					q.MaySignal(release.SIGUSR2), row.usr1, row.usr2)
			}
			for _, m := range q.Reload {
				if (m == release.SIGUSR1 || m == release.SIGUSR2) && !q.MaySignal(m) {
					t.Errorf("%q would be sent %s", row.version, m)
				}
			}
			if q.MaySignal(release.RPC) || q.MaySignal("SIGKILL") {
				t.Errorf("%q: what is no such signal may be sent", row.version)
			}
		}
	}
}

func TestRowsSayWhatWasMeasured(t *testing.T) {
	for _, want := range []release.Quirks{
		{Release: "2026.3.13", Protocol: 3, ConfigExit: 1, NeedsDevice: true},
		{Release: "2026.5.27", Protocol: 4, ConfigExit: 1, RestartRequest: true},
		{
			Release: "2026.9.6", Protocol: 4, ConfigExit: 78, RestartRequest: true, BootID: true, Suspend: true,
			SystemInfo: true, Startupz: true, Sidecars: true,
		},
	} {
		q := release.Of(want.Release, nil)
		got := release.Quirks{
			Release: q.Release, Protocol: q.Protocol, ConfigExit: q.ConfigExit, NeedsDevice: q.NeedsDevice,
			RestartRequest: q.RestartRequest,
			BootID:         q.BootID, Suspend: q.Suspend, SystemInfo: q.SystemInfo, Startupz: q.Startupz,
			Sidecars: q.Sidecars,
		}
		if !slices.Equal(list(got), list(want)) {
			t.Errorf("%s: %+v, want %+v", want.Release, got, want)
		}
	}
	if q := release.Of("2027.1.1", nil); q.Protocol != 0 || q.ConfigExit != 0 || q.BootID || q.RestartRequest ||
		q.Suspend || !q.NeedsDevice || !q.Sidecars {
		t.Errorf("careful = %+v", q)
	}
}

func list(q release.Quirks) []any {
	return []any{
		q.Release, q.Protocol, q.ConfigExit, q.NeedsDevice, q.RestartRequest, q.BootID, q.Suspend,
		q.SystemInfo, q.Startupz, q.Sidecars,
	}
}

// TestEmulatorPlaysEachKnownRelease keeps the table and the emulator together: what one knows, the other plays.
func TestEmulatorPlaysEachKnownRelease(t *testing.T) {
	for _, version := range gatewaytest.Releases() {
		if !release.Of(version, nil).Known {
			t.Errorf("the emulator plays %s, which is in no row", version)
		}
	}
}
