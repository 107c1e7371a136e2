package openclawdoctor_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	openclawdoctor "github.com/gatehost/gatehost/plugins/doctor"
	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/plugin"
)

// row is one labelled line; the labels were computed by running the reference ("seed") and the later project ("head").
type row struct {
	Line              string `json:"line"`
	SeedLevel         string `json:"seed_level"`
	HeadLevel         string `json:"head_level"`
	InvalidConfig     bool   `json:"invalid_config"`
	Transient         bool   `json:"transient"`
	HeadInvalidConfig *bool  `json:"head_invalid_config"`
	HeadTransient     *bool  `json:"head_transient"`
	HeadStarting      bool   `json:"head_still_starting"`
	FatalRuntime      bool   `json:"head_fatal_runtime"`
	MigrationLock     bool   `json:"head_migration_lock"`
	Trace             *struct {
		Name       string   `json:"name"`
		DurationMs float64  `json:"durationMs"`
		TotalMs    *float64 `json:"totalMs"`
	} `json:"head_trace"`
	GoTrap bool   `json:"go_trap"`
	Group  string `json:"group"`
	Note   string `json:"note"`
}

func corpus(tb testing.TB) []row {
	tb.Helper()
	f, err := os.Open(filepath.Join("testdata", "stderr-corpus.jsonl"))
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var out []row
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<22)
	for in.Scan() {
		var r row
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			tb.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// labelled is what a row's labels mean as one symptom: what cannot be helped outranks what can (T030, T031). Where the
// two projects differ the later one's label counts: all such rows of docs/behaviour.md (B293, B294, B302..B305) say
// keep.
func (r row) labelled() plugin.Symptom {
	invalid, passing := r.InvalidConfig, r.Transient
	if r.HeadInvalidConfig != nil {
		invalid = *r.HeadInvalidConfig
	}
	if r.HeadTransient != nil {
		passing = *r.HeadTransient
	}
	switch {
	case r.FatalRuntime:
		return plugin.SymptomRuntimeFatal
	case r.MigrationLock:
		return plugin.SymptomMigrationLocked
	case invalid:
		return plugin.SymptomConfigInvalid
	case passing || r.HeadStarting:
		return plugin.SymptomTransient
	default:
		return plugin.NoSymptom
	}
}

// symptomsBeyond are the rows where a `change` of docs/behaviour.md, or a symptom that neither project had, outranks
// the label.
var symptomsBeyond = []struct {
	line, why string
	want      plugin.Symptom
}{
	{"Run `openclaw doctor --fix` to apply supported repairs, then re-run setup.", "B306", plugin.SymptomConfigInvalid},
	{
		`Run "openclaw doctor --fix" to migrate legacy session metadata/transcripts to SQLite.`, "B306",
		plugin.SymptomConfigInvalid,
	},
	{"\x1b[31mInvalid\x1b[39m \x1b[31mconfig\x1b[39m at x", "B056: colour", plugin.SymptomConfigInvalid},
	{"\x1b[31mInvalid config\x1b[39m at x", "B056: colour", plugin.SymptomConfigInvalid},
	{
		`Tool call failed: user asked how to fix "invalid config" in nginx`, "B056: not the gateway's own text",
		plugin.NoSymptom,
	},
	{"[agent] model said: Unrecognized key in your JSON", "B056: not the gateway's own text", plugin.NoSymptom},
	{`{"@level":"info","@message":"invalid config","@module":"calendar"}`, "B056: a plugin's log", plugin.NoSymptom},
	{
		"Error: gateway.mode is required (set gateway.mode=local or pass --allow-unconfigured)", "config-missing",
		plugin.SymptomConfigMissing,
	},
	{"Error: listen EADDRINUSE: address already in use 127.0.0.1:18789", "port-conflict", plugin.SymptomPortConflict},
	{
		"Gateway failed to start: another gateway instance is already listening on ws://127.0.0.1:18789",
		"port-conflict",
		plugin.SymptomPortConflict,
	},
}

// levelsBeyond are the rows where B296 outranks the label: the line states its level itself.
var levelsBeyond = map[string]string{
	`{"@level":"debug","@message":"starting ` +
		`plugin","@module":"calendar","@timestamp":"2026-03-15T12:00:00.000000Z","pid":77}`: "debug",
	`{"@level":"error","@message":"boom","@module":"calendar","@timestamp":"2026-03-15T12:00:00.000000Z"}`: "error",
	`{"@level":"info","@message":"invalid config","@module":"calendar"}`:                                   "info",
	"2026-03-15T12:00:00.000Z [DEBUG] plugin: waiting for RPC address: plugin=/opt/p":                      "debug",
	"2026-03-15T12:00:00.000Z [INFO]  plugin: plugin process exited: plugin=/opt/p id=77":                  "info",
	"[TRACE] tick": "debug",
	`{"level":30,"time":1763900000000,"pid":1,"msg":"listening"}`: "info",
	"<6>info from a journal-prefixed line":                        "info",
}

// classify puts lines into a stream of their own.
func classify(tb testing.TB, port int, lines ...plugin.Line) []classifier.Verdict {
	tb.Helper()
	s, err := openclawdoctor.NewClassifier().Open(tb.Context(), plugin.GatewayFacts{Port: port}, "l1")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	numbered := make([]classifier.NumberedLine, len(lines))
	for i, l := range lines {
		numbered[i] = classifier.NumberedLine{Seq: uint64(i + 7), Line: l}
	}
	verdicts, err := s.Classify(tb.Context(), numbered)
	if err != nil || len(verdicts) != len(lines) {
		tb.Fatalf("%d verdicts for %d lines, error %v", len(verdicts), len(lines), err)
	}
	for i, v := range verdicts {
		if v.Seq != numbered[i].Seq {
			tb.Fatalf("verdict %d has seq %d, want %d", i, v.Seq, numbered[i].Seq)
		}
	}
	return verdicts
}

func stderrLine(text string) plugin.Line { return plugin.Line{Text: text, Stream: plugin.Stderr} }

func TestCorpusIsClassifiedAsLabelled(t *testing.T) {
	rows := corpus(t)
	traps, overruled := 0, 0
	for _, r := range rows {
		if r.GoTrap {
			traps++
		}
		got := classify(t, 0, stderrLine(r.Line))[0]
		level := r.HeadLevel
		if l, ok := levelsBeyond[r.Line]; ok {
			level = l
			overruled++
		}
		if got.Level.String() != level {
			t.Errorf("level of %q = %s (rule %q), want %s\nnote: %s", short(r.Line), got.Level, got.RuleID, level,
				r.Note)
		}
		// A dropped token mismatch has a symptom besides (B295); no other symptom may come with it.
		want := r.labelled()
		for _, b := range symptomsBeyond {
			if b.line == r.Line {
				want = b.want
				overruled++
			}
		}
		if got.Symptom == plugin.SymptomTokenMismatch && want == plugin.NoSymptom {
			want = plugin.SymptomTokenMismatch
			if !strings.Contains(strings.ToLower(r.Line), "mismatch") {
				t.Errorf("%q is called a token mismatch", short(r.Line))
			}
		}
		if got.Symptom != want {
			t.Errorf("symptom of %q = %s (rule %q), want %s\nnote: %s", short(r.Line), got.Symptom, got.RuleID, want,
				r.Note)
		}
		checkStage(t, r, got.Stage)
	}
	if len(rows) != 300 || traps != 10 || overruled != len(levelsBeyond)+len(symptomsBeyond) {
		t.Errorf("rows = %d, traps = %d, overruled = %d", len(rows), traps, overruled)
	}
}

func checkStage(t *testing.T, r row, got *classifier.Stage) {
	t.Helper()
	switch {
	case got == nil && r.Trace == nil:
	case got == nil || r.Trace == nil, got.Name != r.Trace.Name, got.DurationMs != r.Trace.DurationMs,
		(got.TotalMs == nil) != (r.Trace.TotalMs == nil), got.TotalMs != nil && *got.TotalMs != *r.Trace.TotalMs:
		t.Errorf("stage of %q = %+v, want %+v", short(r.Line), got, r.Trace)
	}
}

func short(s string) string { return s[:min(len(s), 160)] }

// captured reads a log of a real gateway: `[  1234ms stderr] text`.
func captured(tb testing.TB, name string) []plugin.Line {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "stderr", name+".txt"))
	if err != nil {
		tb.Fatal(err)
	}
	var out []plugin.Line
	for _, m := range regexp.MustCompile(`(?m)^\[ *\d+ms (stdout|stderr)\] (.*)$`).FindAllStringSubmatch(string(data),
		-1) {
		l := plugin.Line{Text: m[2], Stream: plugin.Stdout}
		if m[1] == "stderr" {
			l.Stream = plugin.Stderr
		}
		out = append(out, l)
	}
	if len(out) == 0 {
		tb.Fatalf("%s holds no lines", name)
	}
	return out
}

// symptoms is what lines of one launch show, each once, in order.
func symptoms(lines []plugin.Line) []plugin.Symptom {
	c := openclawdoctor.NewClassifier()
	var out []plugin.Symptom
	for _, l := range lines {
		if v := c.Line(l); v.Symptom != plugin.NoSymptom && !slices.Contains(out, v.Symptom) {
			out = append(out, v.Symptom)
		}
	}
	return out
}

func TestRealLogsShowTheirSymptomsAndNoOthers(t *testing.T) {
	for name, want := range map[string][]plugin.Symptom{
		"bad-config-bad-enum":                     {plugin.SymptomConfigInvalid},
		"bad-config-bad-json":                     {plugin.SymptomConfigInvalid},
		"bad-config-bad-type":                     {plugin.SymptomConfigInvalid},
		"bad-config-empty-file":                   {plugin.SymptomConfigInvalid},
		"bad-config-unknown-key":                  {plugin.SymptomConfigInvalid},
		"bad-config-no-mode":                      {plugin.SymptomConfigMissing},
		"bad-config-empty-object":                 nil, // starts
		"old-2026.3.13-bad-config":                {plugin.SymptomConfigInvalid},
		"old-2026.5.27-bad-config":                {plugin.SymptomConfigInvalid},
		"lock-conflict":                           {plugin.SymptomStateLocked},
		"lock-conflict-migrated-state-same-port":  {plugin.SymptomStateLocked},
		"lock-conflict-migrated-state-other-port": {plugin.SymptomStateLocked},
		"lock-and-port-conflict":                  {plugin.SymptomStateLocked},
		"port-conflict-foreign":                   {plugin.SymptomPortConflict},
		"port-conflict-gateway":                   {plugin.SymptomPortConflict},
		"full-disk":                               nil, // the environment's, not OpenClaw's
		"full-disk-first-start":                   nil,
		"nearly-full-disk-first-start":            nil,
		"no-right-to-state":                       nil,
		"node-too-old":                            {plugin.SymptomRuntimeFatal},
		"crash-loop-breaker":                      {plugin.SymptomChannelsSuppressed},
		"restart-into-invalid-config-then-fixed":  {plugin.SymptomConfigInvalid, plugin.SymptomZombie},
		"SIGUSR2-with-invalid-config-on-disk":     {plugin.SymptomConfigInvalid, plugin.SymptomZombie},
		"normal-start-and-SIGTERM":                nil,
		"normal-start-ansi-FORCE_COLOR":           nil,
		"normal-start-verbose":                    nil,
		"normal-start-with-startup-trace":         nil,
		"signal-SIGTERM":                          nil,
		"config-file":                             nil, // refused reloads: it lives on with the last good configuration
		"handshake-refusals-server-side":          {plugin.SymptomTokenMismatch},
		"old-2026.3.13-start-USR1-TERM":           {plugin.SymptomTokenMismatch},
		"old-2026.5.27-start-USR1-TERM":           {plugin.SymptomTokenMismatch},
	} {
		if got := symptoms(captured(t, name)); !slices.Equal(got, want) {
			t.Errorf("%s shows %v, want %v", name, got, want)
		}
	}
}

func TestRealLogsAreInfoOnStdoutAndWarnOnStderr(t *testing.T) {
	for _, name := range []string{
		"normal-start-and-SIGTERM", "normal-start-ansi-FORCE_COLOR", "bad-config-unknown-key",
		"config-file",
	} {
		lines := captured(t, name)
		for i, v := range classify(t, 0, lines...) {
			want := classifier.LevelInfo
			if lines[i].Stream == plugin.Stderr {
				want = classifier.LevelWarn
			}
			if v.Level != want {
				t.Errorf("%s: level of %s %q = %s, want %s", name, lines[i].Stream, lines[i].Text, v.Level, want)
			}
		}
	}
}

func TestRealStartupTraceIsReadAsStages(t *testing.T) {
	lines := captured(t, "normal-start-with-startup-trace")
	stages, want := 0, 0
	for i, v := range classify(t, 0, lines...) {
		if regexp.MustCompile(`startup trace: \S+ [\d.]+ms`).MatchString(lines[i].Text) {
			want++
		}
		if v.Stage != nil {
			stages++
		}
	}
	if stages != want || want < 100 {
		t.Errorf("stages = %d, want %d", stages, want)
	}
}

func FuzzLine(f *testing.F) {
	for _, r := range corpus(f) {
		f.Add(r.Line, r.GoTrap)
	}
	c := openclawdoctor.NewClassifier()
	f.Fuzz(func(t *testing.T, text string, out bool) {
		l := stderrLine(text)
		if out {
			l.Stream = plugin.Stdout
		}
		s, _ := c.Open(t.Context(), plugin.GatewayFacts{Port: 18789}, "fuzz")
		got, err := s.Classify(t.Context(), []classifier.NumberedLine{{Seq: 1, Line: l}, {Seq: 2, Line: l}})
		if err != nil || len(got) != 2 {
			t.Fatalf("%d verdicts, error %v for %q", len(got), err, text)
		}
		for _, v := range got {
			if v.Level < classifier.LevelDrop || v.Level > classifier.LevelError || len(v.Text) > len(text) {
				t.Errorf("verdict %+v for %q", v, text)
			}
		}
	})
}

// R52: 24 000 lines a second by plain regexps; the goal is 100 000.
func BenchmarkClassify(b *testing.B) {
	for _, set := range []struct {
		name  string
		lines []plugin.Line
	}{{"start of a gateway", captured(b, "normal-start-verbose")}, {"corpus", short64(corpus(b))}} {
		b.Run(set.name, func(b *testing.B) {
			s, _ := openclawdoctor.NewClassifier().Open(b.Context(), plugin.GatewayFacts{Port: 18789}, "bench")
			batch := make([]classifier.NumberedLine, 256)
			for i := range batch {
				batch[i] = classifier.NumberedLine{Seq: uint64(i), Line: set.lines[i%len(set.lines)]}
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Classify(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*256/b.Elapsed().Seconds(), "lines/s")
		})
	}
}

func short64(rows []row) []plugin.Line {
	var out []plugin.Line
	for _, r := range rows {
		if len(r.Line) < 1000 {
			out = append(out, stderrLine(r.Line))
		}
	}
	return out
}
