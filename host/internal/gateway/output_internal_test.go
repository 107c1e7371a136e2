package gateway

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/observe"
	"github.com/gatehost/gatehost/host/internal/output"
	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// TestStderrIsLoggedAtItsLevel is B298: each line that is shown is logged, and none that is hidden.
func TestStderrIsLoggedAtItsLevel(t *testing.T) {
	var log bytes.Buffer
	g := bare(&config.Gateway{Name: "main"})
	g.log = hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Debug, DisableTime: true})
	g.env.Hub = events.NewHub(events.Options{})
	defer g.env.Hub.Close()
	for _, c := range []output.Classified{
		{Line: plugin.Line{Stream: plugin.Stderr}, Level: classifier.LevelDebug, Shown: "one"},
		{Line: plugin.Line{Stream: plugin.Stderr}, Level: classifier.LevelInfo, Shown: "two"},
		{Line: plugin.Line{Stream: plugin.Stderr}, Level: classifier.LevelWarn, Shown: "three"},
		{Line: plugin.Line{Stream: plugin.Stderr}, Level: classifier.LevelError, Shown: "four"},
		{Line: plugin.Line{Stream: plugin.Stderr}, Level: classifier.LevelWarn, Shown: "a repeat", Hidden: true},
		{Line: plugin.Line{Stream: plugin.Stdout}, Level: classifier.LevelInfo, Shown: "its work"},
		{Line: plugin.Line{Stream: plugin.Stdout}, Level: classifier.LevelWarn, Shown: "five"},
	} {
		(&reader{outputs: outputs{core: g, lines: &lineTotals{}}, launch: "A"}).line(c)
	}
	var got []string
	for line := range strings.Lines(log.String()) {
		level, rest, _ := strings.Cut(strings.TrimSpace(line), "]")
		text, _, _ := strings.Cut(strings.TrimSpace(rest), ": ")
		got = append(got, level+"] "+text)
	}
	want := "[DEBUG] [Gateway stderr] one,[INFO] [Gateway stderr] two,[WARN] [Gateway stderr] three," +
		"[ERROR] [Gateway stderr] four,[WARN] [Gateway stdout] five"
	if strings.Join(got, ",") != want {
		t.Errorf("logged %q\n%s", got, log.String())
	}
}

// TestSilencedLinesAreCountedByRuleOverAllLaunches is B295.
func TestSilencedLinesAreCountedByRuleOverAllLaunches(t *testing.T) {
	first := output.Stats{Read: 3, DroppedBy: map[string]uint64{"a": 1, "b": 2}}
	got := sum(sum(output.Stats{}, first), output.Stats{Read: 1, DroppedBy: map[string]uint64{"a": 5}})
	if want := map[string]uint64{"a": 6, "b": 2}; got.Read != 4 || !maps.Equal(got.DroppedBy, want) ||
		first.DroppedBy["a"] != 1 {
		t.Errorf("%+v, and of the first %+v", got, first)
	}
}

// TestCommandWhoseOutputWasCutIsSaid is T169.
func TestCommandWhoseOutputWasCutIsSaid(t *testing.T) {
	var log bytes.Buffer
	g := bare(&config.Gateway{Name: "main"})
	g.log = hclog.New(&hclog.LoggerOptions{Output: &log})
	g.warnOfCut([]string{"node", "secret"}, launcher.ExecResult{})
	if log.Len() != 0 {
		t.Errorf("nothing was cut, and the log says %s", &log)
	}
	g.warnOfCut([]string{"node", "secret"}, launcher.ExecResult{DroppedBytes: 900})
	if text := log.String(); !strings.Contains(text, "[WARN]") || !strings.Contains(text, "dropped_bytes=900") ||
		strings.Contains(text, "secret") {
		t.Errorf("log = %s", text)
	}
}

// TestEventsPassOnByTheirKindAndTicksAreLifeOnly is T118, T120, T125 and T126.
func TestEventsPassOnByTheirKindAndTicksAreLifeOnly(t *testing.T) {
	g := bare(&config.Gateway{Name: "main"})
	g.env.Hub = events.NewHub(events.Options{})
	defer g.env.Hub.Close()
	for _, name := range []string{"tick", "chat", "channel.status", "agent"} {
		payload := json.RawMessage(`{"text":"hi","token":"canary-value"}`)
		observer{core: g}.received(cleanEvent(session.Event{Name: name, Payload: payload}, nil))
	}
	var got []string
	sub := g.env.Hub.Subscribe(0)
	for e, ok := sub.TryNext(); ok; e, ok = sub.TryNext() {
		data := e.Data.(sentEvent)
		got = append(got, string(e.Type)+" "+data.Event+" "+string(data.Payload))
	}
	const payload = ` {"text":"hi","token":"[redacted]"}`
	if want := []string{
		"gateway.chat.message chat" + payload, "gateway.channel.status channel.status" + payload,
		"gateway.notification agent" + payload,
	}; !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

// TestPayloadIsCutAtItsBound: no frame of a gateway, whatever it holds, takes more than that of memory and journal.
func TestPayloadIsCutAtItsBound(t *testing.T) {
	text := func(s string) json.RawMessage { b, _ := json.Marshal(map[string]string{"text": s}); return b }
	for name, row := range map[string]struct {
		payload json.RawMessage
		cut     bool
	}{
		"small":                  {text("hi"), false},
		"at the bound":           {text(strings.Repeat("x", 64<<10-11)), false},
		"above it":               {text(strings.Repeat("x", 64<<10-10)), true},
		"quotes":                 {text(strings.Repeat(`"`, 100<<10)), true},
		"signs that are escaped": {text(strings.Repeat("<", 100<<10)), true},
		"runes":                  {text(strings.Repeat("ä€", 100<<10)), true},
		"25 MiB":                 {text(strings.Repeat("x", 25<<20)), true},
	} {
		got := bounded("chat", row.payload)
		if len(got.Payload) > 64<<10 || !json.Valid(got.Payload) || got.Cut != row.cut {
			t.Errorf("%s: %d bytes, cut %t: %.80s", name, len(got.Payload), got.Cut, got.Payload)
		}
		if !row.cut {
			if string(got.Payload) != string(row.payload) || got.Bytes != 0 {
				t.Errorf("%s: it was changed: %.80s", name, got.Payload)
			}
			continue
		}
		var begin string
		if err := json.Unmarshal(got.Payload, &begin); err != nil || !strings.HasPrefix(string(row.payload), begin) ||
			len(begin) < 5<<10 || got.Bytes != len(row.payload) {
			t.Errorf("%s: %v, %d bytes of %d: %.80s", name, err, len(begin), got.Bytes, begin)
		}
		if size := (sentEvent{got}).EventSize(); size < len(got.Payload) {
			t.Errorf("%s: it says that it takes %d bytes", name, size)
		}
	}
	if got := bounded(strings.Repeat("n", 1<<20), nil); len(got.Event) != 256 || !got.Cut {
		t.Errorf("a name of %d bytes, cut %t", len(got.Event), got.Cut)
	}
}

// TestSecretsOfAnEventAreHiddenWhereverItIsShown covers the published event, which the journal stores, and the trace of
// the frame.
func TestSecretsOfAnEventAreHiddenWhereverItIsShown(t *testing.T) {
	const payload = `{"botToken":"123456:ABCDEFGHIJ","clientSecret":"s3cr3t-value","passphrase":"hunter2hunter2",` +
		`"access_key":"AKIA-canary","device":{"nonce":"canary-nonce","signature":["canary-signature"]},` +
		`"text":"it said the-gateways-own and Authorization: Bearer sk-canary-01",` +
		`"maxTokens":4096,"keep":"this"}`
	var log bytes.Buffer
	g := bare(&config.Gateway{Name: "main"})
	g.settings.Store(&Settings{Gateway: g.conf(), frames: true})
	g.log = hclog.New(&hclog.LoggerOptions{Output: &log, DisableTime: true})
	g.env.Hub = events.NewHub(events.Options{})
	defer g.env.Hub.Close()
	known := redact.New([]string{"the-gateways-own"})
	observer{core: g}.received(cleanEvent(session.Event{Name: "agent", Payload: json.RawMessage(payload)}, known))
	g.traceFrames(known)(false, []byte(`{"type":"event","event":"agent","payload":`+payload+`}`))

	e, ok := g.env.Hub.Subscribe(0).TryNext()
	if !ok {
		t.Fatal("the event is not published")
	}
	published, err := json.Marshal(e) // what the journal writes
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{"event": string(published), "trace": log.String()} {
		for _, secret := range []string{"ABCDEFGHIJ", "s3cr3t", "hunter2", "AKIA", "canary", "the-gateways-own"} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s shows %q: %s", where, secret, text)
			}
		}
		for _, shown := range []string{"4096", "this", "it said"} {
			if !strings.Contains(text, shown) {
				t.Errorf("the %s does not show %q: %s", where, shown, text)
			}
		}
	}
}

// A program that asks with an outdated token in a loop is counted, and handed on once a second.
func TestRefusedClientsAreHandedOnOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []int
		r := &reader{launch: "A", see: func(s observe.Sight) { seen = append(seen, s.(observe.ClientRefused).Number) }}
		for range 1000 {
			r.clientRefused(time.Now())
		}
		time.Sleep(time.Second)
		r.clientRefused(time.Now())
		if want := []int{1, 1000}; !slices.Equal(seen, want) {
			t.Errorf("seen %v, want %v", seen, want)
		}
	})
}
