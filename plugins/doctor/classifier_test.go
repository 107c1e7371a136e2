package openclawdoctor_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	openclawdoctor "github.com/gatehost/gatehost/plugins/doctor"
	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/plugin"
)

const ready = "2026-11-23T14:41:19.162+00:00 [gateway] ready"

func TestOnlyTheGatewaysOwnTextIsASymptom(t *testing.T) { // B056
	const invalid = "Invalid config at /s/openclaw.json:"
	for _, row := range []struct {
		name  string
		lines []string // the last one counts
		want  plugin.Symptom
	}{
		{"undated while it starts", []string{invalid}, plugin.SymptomConfigInvalid},
		{"undated when it runs", []string{ready, invalid}, plugin.NoSymptom},
		{
			"dated when it runs",
			[]string{ready, "2026-11-23T14:41:20.000+00:00 [gateway] startup failed: " + invalid},
			plugin.SymptomConfigInvalid,
		},
		{
			"the next lines of its own message",
			[]string{
				ready, "2026-11-23T14:41:20.000+00:00 [gateway] startup failed: x",
				`openclaw.json:1 — gateway: Unrecognized key: "a"`,
			},
			plugin.SymptomConfigInvalid,
		},
		{
			"the next lines of an agent's message",
			[]string{ready, "2026-11-23T14:41:20.000+00:00 [agents/main] the log says:", invalid},
			plugin.NoSymptom,
		},
		{
			"undated in a restart in process",
			[]string{
				ready, "2026-11-23T14:41:25.000+00:00 [gateway] received SIGUSR2; restarting",
				"2026-11-23T14:41:25.100+00:00 [gmail-watcher] stopped", invalid,
			},
			plugin.SymptomConfigInvalid,
		},
		{
			"another subsystem",
			[]string{"2026-11-23T14:41:20.000+00:00 [telegram] user wrote: " + invalid},
			plugin.NoSymptom,
		},
		{
			"a refused reload",
			[]string{"2026-11-23T14:41:20.000+00:00 [reload] config reload skipped (invalid config): x"},
			plugin.NoSymptom,
		},
		{"a quoted user", []string{`the user said "invalid config"`}, plugin.NoSymptom},
		{"a plugin's log", []string{`{"@level":"error","@message":"invalid config"}`}, plugin.NoSymptom},
		{
			"the gateway's own JSON",
			[]string{`{"subsystem":"gateway","level":"error","message":"Invalid config at x"}`},
			plugin.SymptomConfigInvalid,
		},
	} {
		in := make([]plugin.Line, len(row.lines))
		for i, text := range row.lines {
			in[i] = stderrLine(text)
		}
		if got := classify(t, 0, in...); got[len(got)-1].Symptom != row.want {
			t.Errorf("%s: %q shows %s, want %s", row.name, row.lines[len(row.lines)-1], got[len(got)-1].Symptom,
				row.want)
		}
	}
}

func TestOnlyTheOwnPortIsAPortConflict(t *testing.T) {
	for text, want := range map[string]plugin.Symptom{
		"2026-11-23T13:44:58.837+00:00 Gateway failed to start: another gateway instance is already listening on " +
			"ws://127.0.0.1:18805 | listen EADDRINUSE: address already in use 127.0.0.1:18805 | " +
			"EADDRINUSE": plugin.SymptomPortConflict,
		"Error: listen EADDRINUSE: address already in use 127.0.0.1:18808":     plugin.NoSymptom,
		"Error: listen EADDRINUSE: address already in use":                     plugin.SymptomPortConflict,
		"2026-11-23T13:44:58.907+00:00 Port 18805 is already in use.":          plugin.SymptomPortConflict,
		"2026-11-23T13:44:58.907+00:00 Port 18999 is already in use.":          plugin.NoSymptom,
		"2026-11-23T13:44:58.907+00:00 [canvas] listen EADDRINUSE 127.0.0.1:1": plugin.NoSymptom,
	} {
		if got := classify(t, 18805, stderrLine(text))[0]; got.Symptom != want {
			t.Errorf("%q shows %s, want %s", text, got.Symptom, want)
		}
	}
}

func TestMoreThingsThatTheGatewaySays(t *testing.T) {
	for text, want := range map[string]plugin.Symptom{
		"Gateway start blocked: existing config is missing gateway.mode. Set it.":      plugin.SymptomConfigMissing,
		"gateway already running (pid 4242); lock timeout after 5000ms":                plugin.SymptomStateLocked,
		"[gateway] auth token was missing. Generated a runtime token for this process": plugin.SymptomTokenMissing,
		"startup migrations are already running; " +
			"retry after the other OpenClaw process finishes": plugin.SymptomMigrationLocked,
		"Retry after the other OpenClaw process finishes": plugin.SymptomMigrationLocked,
		// T031
		"Node 20.1 is outside the supported range. Run: openclaw doctor --fix": plugin.SymptomRuntimeFatal,
		"[ws] unauthorized conn=7 client=gateway-client backend v0.0.1 role=operator " +
			"reason=token_mismatch": plugin.SymptomTokenMismatch,
		"proxy socket closed before connection completed: token mismatch upstream": plugin.NoSymptom,
		"Run: 'openclaw doctor --fix'":                                             plugin.SymptomConfigInvalid,
	} {
		if got := classify(t, 0, stderrLine(text))[0]; got.Symptom != want {
			t.Errorf("%q shows %s (rule %q), want %s", text, got.Symptom, got.RuleID, want)
		}
	}
}

func TestColourIsNotShown(t *testing.T) {
	got := classify(t, 0,
		plugin.Line{
			Stream: plugin.Stdout,
			Text:   "\x1b[90m2026-11-23T14:41:27.868+00:00\x1b[39m \x1b[36m[gateway]\x1b[39m \x1b[36mstarting...\x1b[39m",
		})[0]
	if got.Text != "2026-11-23T14:41:27.868+00:00 [gateway] starting..." || got.Level != classifier.LevelInfo ||
		len(got.Tags) != 1 || got.Tags[0] != "gateway" {
		t.Errorf("verdict = %+v", got)
	}
}

func TestHostileLinesAreOnlyWarnings(t *testing.T) {
	for _, text := range []string{
		"\x1b[", "\x1b[31", "[", "[]", "<", "<9>x", "{", `{"level":{}}`, `{"level":1e999}`, "level=",
		"startup trace: a " + strings.Repeat("9", 400) + "ms",
		strings.Repeat("{\"a\":", 10000), strings.Repeat("\x1b[3", 20000), "\xff\xfe invalid", "2026-11-23T14:41:27",
		"2026-11-23T14:41:27 ",
	} {
		got := classify(t, 1, stderrLine(text))[0]
		if got.Level != classifier.LevelWarn && got.RuleID != "startup-trace" || got.Symptom != plugin.NoSymptom ||
			got.Stage != nil {
			t.Errorf("%.40q: %+v", text, got)
		}
	}
}

func TestCancelledBatchIsAnError(t *testing.T) {
	s, err := openclawdoctor.NewClassifier().Open(t.Context(), plugin.GatewayFacts{}, "l")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Classify(ctx, []classifier.NumberedLine{{Seq: 1}}); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
}
