package journal_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/journal"
)

// line is Data as the host's is: it encodes itself and knows its place.
type line struct {
	launch string
	cursor uint64
	text   string

	symptom string
}

func (l line) OutputPlace() (string, uint64, uint64) { return l.launch, l.cursor, l.cursor / 10 }

func (l line) IsGap() bool { return l.text == "" }

func (l line) Showed() (symptom, text string) { return l.symptom, l.text }

func (l line) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{
		"launchId": l.launch, "cursor": l.cursor, "line": l.cursor / 10,
		"text": l.text, "symptom": l.symptom,
	})
}

var epoch = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func fact(cursor uint64) events.Event {
	return events.Event{
		Cursor: cursor, Time: epoch.Add(time.Duration(cursor) * time.Second), Gateway: "main",
		Type: events.GatewayState, Data: map[string]uint64{"n": cursor},
	}
}

func output(cursor uint64, launch string, place uint64) events.Event {
	return events.Event{
		Cursor: cursor, Time: epoch.Add(time.Duration(cursor) * time.Second), Gateway: "main",
		Type: events.GatewayOutput,
		Data: line{launch: launch, cursor: place, text: strings.Repeat("x", 50)},
	}
}

func open(t *testing.T, dir string, o journal.Options) *journal.Journal {
	t.Helper()
	j, remarks := journal.Open(dir, o)
	if len(remarks) > 0 {
		t.Fatalf("remarks: %v", remarks)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func outputOf(j *journal.Journal, launch string) uint64 {
	cursor, line := j.Output(launch)
	if line != cursor/10 {
		return 1<<63 + line // not the line of the place
	}
	return cursor
}

func cursors(t *testing.T, r journal.Reader, after uint64) []uint64 {
	t.Helper()
	var out []uint64
	for e, err := range r.Events(after) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Cursor)
	}
	return out
}

// TestWhatLinesMeantIsKnownToTheNextHost: a host that adopts a launch continues after its lines, and must still know
// what they showed. Also when their segment is gone.
func TestWhatLinesMeantIsKnownToTheNextHost(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	o := journal.Options{MaxSize: 2000, MaxFiles: 2}
	j := open(t, dir, o)
	said := func(cursor uint64, symptom, text string) {
		e := output(cursor, "a", cursor*10)
		e.Data = line{launch: "a", cursor: cursor * 10, text: text, symptom: symptom}
		j.Append([]events.Event{e})
	}
	said(1, "", "nothing")
	said(2, "channels-suppressed", "tripped")
	said(3, "channels-suppressed", "again")
	said(4, "odd", strings.Repeat("ä", 5000))
	want := func(who string) {
		t.Helper()
		if got := j.Showed("a"); len(got) != 2 || got["channels-suppressed"] != "tripped" ||
			len(got["odd"]) != 1024 || outputOf(j, "a") == 0 {
			t.Errorf("%s: %.40q, place %d", who, got, outputOf(j, "a"))
		}
	}
	want("the host that wrote it")
	again := func() {
		t.Helper()
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		j = open(t, dir, o)
	}
	again()
	want("the next one")
	for n := range uint64(100) {
		said(5+n, "", "more")
	}
	if first := cursors(t, j.Reader, 0)[0]; first < 5 {
		t.Fatalf("the line is still there: the first is %d", first)
	}
	again()
	want("one without the line")
	if j.Forget("a"); len(j.Showed("a")) != 0 {
		t.Errorf("forgotten: %v", j.Showed("a"))
	}
}

func TestWhatWasWrittenIsReadAgainByTheNextHost(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := open(t, dir, journal.Options{Host: "1.0.0"})
	if j.Last() != 0 || j.Oldest() != 0 || outputOf(j, "a") != 0 {
		t.Error("an empty journal is not empty")
	}
	e := fact(10)
	e.Plugin, e.Cause = "doctor", 9
	j.Append([]events.Event{e, output(11, "a", 100), output(12, "a", 200), output(13, "b", 7)})
	// no Close: the host was killed
	next := open(t, dir, journal.Options{})
	if next.Last() != 13 || outputOf(next, "a") != 200 || outputOf(next, "b") != 7 || next.Oldest() != 10 {
		t.Errorf("last %d, a %d, b %d, oldest %d", next.Last(), outputOf(next, "a"), outputOf(next, "b"), next.Oldest())
	}
	next.Append([]events.Event{fact(20)})
	if got := cursors(t, next.Reader, 0); !slices.Equal(got, []uint64{10, 11, 12, 13, 20}) {
		t.Errorf("cursors = %v", got)
	}
	got, err := next.Read(0, 1)
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	if got[0].Plugin != "doctor" || got[0].Cause != 9 || got[0].Gateway != "main" ||
		got[0].Type != events.GatewayState || !got[0].Time.Equal(e.Time) ||
		string(got[0].Data.(json.RawMessage)) != `{"n":10}` {
		t.Errorf("event = %+v", got[0])
	}
	if s := j.Stats(); s.Stored["main"] != 3 || s.Fault != nil {
		t.Errorf("stats = %+v", s)
	}
}

// TestHalfALineAtTheEndCostsThatLineOnly cuts the file at each byte of its last line.
func TestHalfALineAtTheEndCostsThatLineOnly(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, journal.Options{})
	j.Append([]events.Event{fact(1), output(2, "a", 5)})
	path := filepath.Join(dir, fmt.Sprintf("%020d.gateway-main.jsonl", 2))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	j.Append([]events.Event{output(3, "a", 6)})
	whole, _ := os.ReadFile(path)
	if len(whole) <= len(before) {
		t.Fatal("the last line is not in this file")
	}
	for cut := len(before); cut < len(whole); cut++ {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		next := open(t, dir, journal.Options{})
		if next.Last() != 2 || outputOf(next, "a") != 5 {
			t.Fatalf("cut at %d: last %d, output %d", cut, next.Last(), outputOf(next, "a"))
		}
		next.Append([]events.Event{output(3, "a", 6)})
		if got := cursors(t, next.Reader, 0); !slices.Equal(got, []uint64{1, 2, 3}) {
			t.Fatalf("cut at %d: %v", cut, got)
		}
		_ = next.Close()
	}
}

// TestHalfAFactAtTheEndCostsThatFactOnly is the same for the other series.
func TestHalfAFactAtTheEndCostsThatFactOnly(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, journal.Options{})
	j.Append([]events.Event{fact(1), fact(2), output(3, "a", 5)})
	path := filepath.Join(dir, fmt.Sprintf("%020d.jsonl", 1))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(len(whole)-3)); err != nil {
		t.Fatal(err)
	}
	next := open(t, dir, journal.Options{})
	if next.Last() != 3 || outputOf(next, "a") != 5 {
		t.Errorf("last %d, output %d", next.Last(), outputOf(next, "a"))
	}
	next.Append([]events.Event{fact(4)})
	if got := cursors(t, next.Reader, 0); !slices.Equal(got, []uint64{1, 3, 4}) {
		t.Errorf("events = %v", got)
	}
}

// TestGapsAreNoLines: a gap moves the place and is no line that was stored.
func TestGapsAreNoLines(t *testing.T) {
	j := open(t, t.TempDir(), journal.Options{})
	gap := output(2, "a", 900)
	gap.Data = line{launch: "a", cursor: 900}
	j.Append([]events.Event{output(1, "a", 10), gap})
	if s := j.Stats(); s.Stored["main"] != 1 || outputOf(j, "a") != 900 {
		t.Errorf("stored %d, place %d", s.Stored["main"], outputOf(j, "a"))
	}
}

func TestSegmentsRotateAndTheOldestGo(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, journal.Options{MaxSize: 2000, MaxFiles: 3})
	for c := uint64(1); c <= 200; c++ {
		e := fact(c)
		if c == 5 {
			e = output(c, "quiet", 42) // its line will be gone, its place must not
		}
		j.Append([]events.Event{e})
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if len(files) != 4 { // three of facts, and the one of the gateway
		t.Fatalf("files = %v", files)
	}
	for _, f := range files {
		if info, _ := os.Stat(f); info.Size() > 2000 {
			t.Errorf("%s has %d bytes", f, info.Size())
		}
	}
	got := cursors(t, j.Reader, 0)
	if got[0] != 5 || j.Oldest() != 5 || got[len(got)-1] != 200 || uint64(len(got)) != 200-got[1]+2 {
		t.Errorf("oldest %d, got %v", j.Oldest(), got)
	}
	if err := os.Remove(filepath.Join(dir, fmt.Sprintf("%020d.gateway-main.jsonl", 5))); err != nil {
		t.Fatal(err)
	}
	next := open(t, dir, journal.Options{})
	if outputOf(next, "quiet") != 42 {
		t.Errorf("place of the quiet launch = %d", outputOf(next, "quiet"))
	}
	next.Forget("quiet")
	if outputOf(next, "quiet") != 0 {
		t.Error("a launch that is over is not forgotten")
	}
}

// note is an event that a gateway sent.
func note(cursor uint64, gateway string, bytes int) events.Event {
	return events.Event{
		Cursor: cursor, Time: epoch.Add(time.Duration(cursor) * time.Second), Gateway: gateway,
		Type: events.GatewayNotification, Data: strings.Repeat("x", bytes),
	}
}

// TestFloodOfOneGatewayPushesOutOnlyItsOwnPast: what the host knows, and what other gateways wrote and sent, stays.
func TestFloodOfOneGatewayPushesOutOnlyItsOwnPast(t *testing.T) {
	dir := t.TempDir()
	o := journal.Options{MaxSize: 2000, MaxFiles: 3}
	j := open(t, dir, o)
	c := uint64(0)
	next := func() uint64 { c++; return c }
	quiet := output(next(), "b", 7)
	quiet.Gateway = "quiet"
	before := []events.Event{fact(next()), quiet, note(next(), "quiet", 10), fact(next())}
	before[0], before[1] = before[1], before[0]
	j.Append(before)
	for range 500 {
		j.Append([]events.Event{output(next(), "a", c), note(next(), "main", 100)})
	}
	j.Append([]events.Event{fact(next())})
	check := func(r journal.Reader) {
		t.Helper()
		got := cursors(t, r, 0)
		if !slices.Equal(got[:4], []uint64{1, 2, 3, 4}) || got[4] < 900 || got[len(got)-1] != c || !slices.IsSorted(got) {
			t.Errorf("events = %v", got)
		}
		lines, err := r.Tail("main", 3, func(l []byte) bool { return strings.Contains(string(l), "launchId") },
			func(e events.Event) bool { return e.Type == events.GatewayOutput })
		if err != nil || len(lines) != 3 || lines[2].Cursor != c-2 {
			t.Errorf("lines = %v, %v", lines, err)
		}
	}
	check(j.Reader)
	for _, pattern := range []string{"*.gateway-main.jsonl", "*.gateway-quiet.jsonl", "????????????????????.jsonl"} {
		if files, _ := filepath.Glob(filepath.Join(dir, pattern)); len(files) == 0 || len(files) > 3 {
			t.Errorf("%s: %v", pattern, files)
		}
	}
	again := open(t, dir, o)
	check(again.Reader)
	if again.Last() != c || outputOf(again, "a") != c-2 || outputOf(again, "b") != 7 {
		t.Errorf("last %d, a %d, b %d", again.Last(), outputOf(again, "a"), outputOf(again, "b"))
	}
}

// TestGatewayAboveTheRateIsDroppedAndCounted: neither the facts nor another gateway lose anything by it.
func TestGatewayAboveTheRateIsDroppedAndCounted(t *testing.T) {
	j := open(t, t.TempDir(), journal.Options{MaxRate: 1000})
	j.Append([]events.Event{
		note(1, "main", 2500), note(2, "main", 2500), output(3, "a", 10), note(4, "main", 2500), fact(5),
		note(6, "other", 2500), fact(7),
	})
	got, _ := j.Read(0, 10)
	var kept []uint64
	for _, e := range got {
		kept = append(kept, e.Cursor)
	}
	s := j.Stats()
	if !slices.Equal(kept, []uint64{1, 3, 5, 6, 7}) || s.Excess["main"] != 2 || s.Excess["other"] != 0 || s.Lost != 2 ||
		s.Stored["main"] != 1 || s.Dropped["main"] != 0 || s.Fault != nil {
		t.Errorf("kept %v, %+v", kept, s)
	}
	for c := uint64(8); c < 100; c++ { // lines, too
		j.Append([]events.Event{output(c, "a", 10*c)})
	}
	if s = j.Stats(); s.Dropped["main"] == 0 || s.Dropped["main"]+s.Stored["main"] != 93 || s.Excess["main"] != 2 {
		t.Errorf("%+v", s)
	}
	deadline := time.Now().Add(time.Minute)
	for c := uint64(100); ; c++ { // the rate is one of time
		j.Append([]events.Event{output(c, "a", 10*c)})
		if j.Last() == c && c > 100 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is kept any more")
		}
		time.Sleep(20 * time.Millisecond) // the rate is one of real time
	}
}

// TestJournalOfTheLayoutWithoutSeriesIsRead: facts and output in one file. It is read, and not continued.
func TestJournalOfTheLayoutWithoutSeriesIsRead(t *testing.T) {
	dir := t.TempDir()
	text := `{"journal":1,"cursor":5,"time":"2026-11-23T12:00:00Z","outputs":{"a":{"gateway":"main","cursor":10,"line":1}}}
{"cursor":5,"time":"2026-11-23T12:00:05.000Z","gateway":"main","type":"gateway.state","data":{"n":5}}
{"cursor":6,"time":"2026-11-23T12:00:06.000Z","gateway":"main","type":"gateway.output",` +
		`"data":{"launchId":"a","cursor":20,"line":2,"text":"x"}}
{"cursor":7,"time":"2026-11-23T12:00:07.000Z","gateway":"main","type":"gateway.chat.message","data":{}}
{"cursor":8,"time":"2026-11`
	old := filepath.Join(dir, fmt.Sprintf("%020d.jsonl", 5))
	if err := os.WriteFile(old, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	j := open(t, dir, journal.Options{MaxFiles: 2})
	if j.Last() != 7 || outputOf(j, "a") != 20 {
		t.Errorf("last %d, output %d", j.Last(), outputOf(j, "a"))
	}
	j.Append([]events.Event{output(8, "a", 30), fact(9)})
	if got := cursors(t, j.Reader, 0); !slices.Equal(got, []uint64{5, 6, 7, 8, 9}) {
		t.Errorf("events = %v", got)
	}
	lines, err := j.Tail("main", 2, func(l []byte) bool { return strings.Contains(string(l), "launchId") },
		func(e events.Event) bool { return e.Type == events.GatewayOutput })
	if err != nil || len(lines) != 2 || lines[0].Cursor != 6 || lines[1].Cursor != 8 {
		t.Errorf("lines = %v, %v", lines, err)
	}
	if now, _ := os.ReadFile(old); string(now) != text {
		t.Errorf("the old file was changed: %q", now)
	}
	if again := open(t, dir, journal.Options{}); again.Last() != 9 || outputOf(again, "a") != 30 {
		t.Errorf("again: last %d, output %d", again.Last(), outputOf(again, "a"))
	}
}

// TestDataOfAnySizeIsBounded: no event of any kind takes a journal of its own.
func TestDataOfAnySizeIsBounded(t *testing.T) {
	j := open(t, t.TempDir(), journal.Options{})
	e := fact(1)
	e.Data = strings.Repeat("x", 5<<20)
	j.Append([]events.Event{e})
	got, err := j.Read(0, 1)
	if err != nil || len(got) != 1 || string(got[0].Data.(json.RawMessage)) != `{"cut":true,"bytes":5242882}` {
		t.Errorf("%.200v, %v", got, err)
	}
}

func TestReadGoesOnFromAnyCursorAndFindsAnyMoment(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, journal.Options{MaxSize: 300 << 10})
	var batch []events.Event
	for c := uint64(1000); c < 9000; c += 2 { // holes, as between two lives
		batch = append(batch, fact(c))
	}
	j.Append(batch)
	if files, _ := filepath.Glob(filepath.Join(dir, "*.jsonl")); len(files) < 2 {
		t.Fatalf("one file only: %v", files)
	}
	rapid.Check(t, func(t *rapid.T) {
		after := rapid.Uint64Range(0, 9100).Draw(t, "after")
		limit := rapid.IntRange(1, 50).Draw(t, "limit")
		got, err := j.Read(after, limit)
		if err != nil {
			t.Fatal(err)
		}
		var want []uint64
		for c := uint64(1000); c < 9000 && len(want) < limit; c += 2 {
			if c > after {
				want = append(want, c)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("after %d: %d events, want %d", after, len(got), len(want))
		}
		for i := range got {
			if got[i].Cursor != want[i] {
				t.Fatalf("after %d: %d, want %d", after, got[i].Cursor, want[i])
			}
		}
		moment := rapid.Uint64Range(900, 9100).Draw(t, "moment")
		at, err := j.At(epoch.Add(time.Duration(moment) * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		next, err := j.Read(at, 1)
		if err != nil {
			t.Fatal(err)
		}
		first := max(1000, moment+moment%2) // the first even number from moment on
		if first >= 9000 && len(next) != 0 || first < 9000 && (len(next) != 1 || next[0].Cursor != first) {
			t.Fatalf("from %d on: %v, want %d", moment, next, first)
		}
	})
}

func TestTailIsTheNewestThatMatch(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, journal.Options{MaxSize: 2000})
	for c := uint64(1); c <= 100; c++ {
		e := fact(c)
		if c%3 == 0 {
			e = output(c, "a", c)
		}
		j.Append([]events.Event{e})
	}
	got, err := j.Tail("main", 10, func(l []byte) bool { return strings.Contains(string(l), "launchId") },
		func(e events.Event) bool { return e.Type == events.GatewayOutput })
	if err != nil || len(got) != 10 || got[0].Cursor != 72 || got[9].Cursor != 99 {
		t.Errorf("%v, %v", got, err)
	}
	all, err := j.Tail("", 0, func([]byte) bool { return true }, func(events.Event) bool { return true })
	if err != nil || all[0].Cursor != j.Oldest() || all[len(all)-1].Cursor != 100 {
		t.Errorf("%d events, %v", len(all), err)
	}
}

func TestSegmentThatCannotBeUnderstoodIsSetAside(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "foreign": "hello\n", "newer": `{"journal":2,"cursor":7}` + "\n", "torn": `{"journal":1,"cur`,
		"binary": "\x00\xff\x00\n", "other JSON": `{"version":1}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := open(t, dir, journal.Options{})
			j.Append([]events.Event{fact(5), output(6, "a", 3)})
			bad := filepath.Join(dir, fmt.Sprintf("%020d.jsonl", 7))
			if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			next, remarks := journal.Open(dir, journal.Options{})
			defer next.Close()
			if len(remarks) != 1 || !strings.Contains(remarks[0].Error(), bad) {
				t.Errorf("remarks = %v", remarks)
			}
			if aside, _ := filepath.Glob(bad + ".broken-*"); len(aside) != 1 {
				t.Errorf("set aside: %v", aside)
			}
			if next.Last() < 7 || outputOf(next, "a") != 3 {
				t.Errorf("last %d, output %d", next.Last(), outputOf(next, "a"))
			}
			next.Append([]events.Event{fact(next.Last() + 1)})
			if got := cursors(t, next.Reader, 0); len(got) != 3 {
				t.Errorf("events = %v", got)
			}
		})
	}
}

func TestDamageInTheMiddleIsPassedOver(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, journal.Options{})
	j.Append([]events.Event{fact(1), fact(2), fact(3)})
	path := filepath.Join(dir, fmt.Sprintf("%020d.jsonl", 1))
	text, _ := os.ReadFile(path)
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), `{"cursor":2`, "\x00\x00\"rsor\":2", 1)),
		0o600); err != nil {
		t.Fatal(err)
	}
	next := open(t, dir, journal.Options{})
	next.Append([]events.Event{fact(4)})
	if got := cursors(t, next.Reader, 0); !slices.Equal(got, []uint64{1, 3, 4}) {
		t.Errorf("events = %v", got)
	}
}

func TestDirectoryThatVanishesIsMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := open(t, dir, journal.Options{})
	j.Append([]events.Event{fact(1)})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for c := uint64(2); j.Oldest() == 0; c++ {
		if time.Now().After(deadline) {
			t.Fatal("nothing is kept again")
		}
		j.Append([]events.Event{fact(c)})
		time.Sleep(20 * time.Millisecond) // the journal looks once a second
	}
}

func TestDirectoryThatCannotBeIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var told []error
	j, remarks := journal.Open(filepath.Join(file, "journal"),
		journal.Options{OnFault: func(err error) { told = append(told, err) }})
	if len(remarks) != 1 {
		t.Errorf("remarks = %v", remarks)
	}
	j.Append([]events.Event{output(1, "a", 1)})
	j.Append([]events.Event{output(2, "a", 2)})
	if s := j.Stats(); s.Dropped["main"] != 2 || s.Lost < 2 || s.Stored["main"] != 0 || s.Fault == nil ||
		len(told) != 1 || told[0] == nil {
		t.Errorf("stats %+v, told %v", s, told)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// TestHubAndJournalTellEachReaderEverythingOnce: a reader follows through a hub that keeps little, over the deaths of
// hosts.
func TestHubAndJournalTellEachReaderEverythingOnce(t *testing.T) {
	dir := t.TempDir()
	var after, told uint64
	for life := range 5 {
		j := open(t, dir, journal.Options{MaxSize: 64 << 10, MaxFiles: 100})
		hub := events.NewHub(events.Options{Keep: 8})
		hub.Persist(j)
		for i := range uint64(200) {
			if i%2 == 0 {
				hub.Publish(events.Event{Type: events.GatewayState, Data: uint64(life)*200 + i})
			} else {
				hub.Publish(events.Event{Type: events.GatewayOutput, Gateway: "main", Data: uint64(life)*200 + i})
			}
		}
		hub.Close()
		if life == 0 {
			after = j.Oldest() - 1
		}
		s := hub.Subscribe(after)
		for e, ok := s.TryNext(); ok; e, ok = s.TryNext() {
			if text, _ := json.Marshal(e.Data); string(text) != fmt.Sprint(told) {
				t.Fatalf("life %d: got %s, want %d", life, text, told)
			}
			told++
			after = e.Cursor
			if life%2 == 1 && told%150 == 0 {
				break // a reader that comes again in the next life
			}
		}
		if s.Dropped() != 0 || s.Reset() {
			t.Errorf("life %d: dropped %d, reset %t", life, s.Dropped(), s.Reset())
		}
		_ = j.Close()
	}
	if told != 1000 {
		t.Errorf("told %d of 1000", told)
	}
	j := open(t, dir, journal.Options{})
	hub := events.NewHub(events.Options{})
	hub.Persist(j)
	if s := hub.Subscribe(1); !s.Reset() {
		t.Error("a cursor older than the journal is not said to be")
	}
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	hub.Close()
}

func BenchmarkOpenAFullSegment(b *testing.B) {
	dir := b.TempDir()
	j, _ := journal.Open(dir, journal.Options{MaxRate: 1 << 40})
	for c := uint64(1); c <= 120_000; c++ {
		j.Append([]events.Event{output(c, "a", c)})
	}
	_ = j.Close()
	files, _ := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	info, _ := os.Stat(files[len(files)-1])
	b.SetBytes(info.Size())
	for b.Loop() {
		next, _ := journal.Open(dir, journal.Options{})
		_ = next.Close()
	}
}

func BenchmarkAppend(b *testing.B) {
	j, _ := journal.Open(b.TempDir(), journal.Options{MaxRate: 1 << 40})
	defer j.Close()
	batch := make([]events.Event, 256)
	c := uint64(0)
	for b.Loop() {
		for i := range batch {
			c++
			batch[i] = output(c, "a", c)
		}
		j.Append(batch)
	}
}
