package output_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehost/gatehost/host/internal/output"
	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// fake is a classifier with knobs. It finds config-invalid in lines with "bad" and drops lines with "noise".
type fake struct {
	OpenErr   error
	Hangs     bool
	BreakOnce bool
	WrongSeq  bool
	Panics    bool
	opens     int
	asked     int
}

func (f *fake) Open(context.Context, plugin.GatewayFacts, string) (classifier.Stream, error) {
	f.opens++
	return f, f.OpenErr
}

func (f *fake) Classify(ctx context.Context, lines []classifier.NumberedLine) ([]classifier.Verdict, error) {
	f.asked += len(lines)
	if f.Hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if f.Panics {
		panic("planted")
	}
	var out []classifier.Verdict
	for i, l := range lines {
		if f.BreakOnce && i == len(lines)/2 {
			f.BreakOnce = false
			return out, errors.New("the stream broke")
		}
		v := classifier.Verdict{Seq: l.Seq, Level: classifier.LevelInfo, RuleID: "r"}
		switch {
		case strings.Contains(l.Line.Text, "bad"):
			v.Level, v.Symptom = classifier.LevelError, plugin.SymptomConfigInvalid
		case strings.Contains(l.Line.Text, "noise"):
			v.Level = classifier.LevelDrop
		}
		if f.WrongSeq {
			v.Seq += 7
		}
		out = append(out, v)
	}
	return out, nil
}

func (f *fake) Close() error { return nil }

func lines(texts ...string) *launcher.LineBatch {
	b := &launcher.LineBatch{}
	for _, t := range texts {
		b.Lines = append(b.Lines, plugin.Line{Text: t, Stream: plugin.Stderr})
	}
	return b
}

type seen struct {
	lines    []output.Classified
	symptoms []plugin.Symptom
}

func run(t *testing.T, f classifier.Classifier, secrets []string, items ...launcher.OutputItem) (*seen,
	*output.Pipeline,
) {
	t.Helper()
	s := &seen{}
	o := output.Options{
		Redactor:  redact.New(secrets),
		OnLine:    func(c output.Classified) { s.lines = append(s.lines, c) },
		OnSymptom: func(x plugin.Symptom, _ plugin.Line) { s.symptoms = append(s.symptoms, x) },
	}
	if f != nil {
		o.Classifiers = []output.Named{{Name: "fake", Classifier: f}}
	}
	p := output.New(o)
	for _, item := range items {
		if err := p.Feed(t.Context(), item); err != nil {
			t.Fatal(err)
		}
	}
	p.Drained(t.Context())
	p.Close()
	return s, p
}

func TestSymptomsLeaveOnceAndInOrder(t *testing.T) {
	s, p := run(t, &fake{}, nil, lines("fine", "bad one", "noise", "bad two"))
	if len(s.symptoms) != 1 || s.symptoms[0] != plugin.SymptomConfigInvalid || len(p.Symptoms()) != 1 {
		t.Errorf("symptoms = %v", s.symptoms)
	}
	if len(s.lines) != 4 || !s.lines[2].Hidden || s.lines[1].Level != classifier.LevelError {
		t.Errorf("lines = %+v", s.lines)
	}
}

func TestWithoutAnAnswerLinesPassAsWarn(t *testing.T) {
	for name, f := range map[string]*fake{
		"cannot be opened": {OpenErr: errors.New("no plugin")}, "hangs": {Hangs: true},
		"answers about other lines": {WrongSeq: true}, "panics": {Panics: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			s, p := run(t, f, nil, lines("bad", "b"))
			if len(s.lines) != 2 || s.lines[0].Level != classifier.LevelWarn || len(s.symptoms) != 0 {
				t.Errorf("%s: lines = %+v", name, s.lines)
			}
			if st := p.Stats(); st.Unclassified != 2 || st.Read != 2 {
				t.Errorf("%s: stats = %+v", name, st)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("%s: took %v, the deadline is 2 s", name, took)
			}
		})
	}
	s, _ := run(t, nil, nil, lines("alone"))
	if len(s.lines) != 1 || s.lines[0].Level != classifier.LevelWarn {
		t.Errorf("without a classifier: %+v", s.lines)
	}
}

func TestClassifierThatHangsCostsOneDeadlineNotOneALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var items []launcher.OutputItem
		for i := range 100 {
			items = append(items, lines(fmt.Sprint(i)))
		}
		run(t, &fake{Hangs: true}, nil, items...)
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestLinesWithoutAVerdictAreAskedAgainAfterABreak(t *testing.T) {
	f := &fake{BreakOnce: true}
	s, _ := run(t, f, nil, lines("a", "b", "bad", "d"))
	if len(s.lines) != 4 || s.lines[2].Symptom != plugin.SymptomConfigInvalid || f.opens != 2 {
		t.Errorf("opens = %d, lines = %+v", f.opens, s.lines)
	}
}

func TestSecretsAreHiddenBeforeAnythingSeesThem(t *testing.T) { // B307
	in := []string{
		"value canary-secret-1 here", "gateway --token abc123def456 x", "--password=hunter2hunter2",
		`"token": "abcdefgh12345678"`,
		"Authorization: Bearer abcdefgh12345", "proxy http://user:pa55word@host:1/", "nothing to hide: tokens are good",
	}
	s, p := run(t, nil, []string{"canary-secret-1"}, lines(in...))
	var all string
	for _, l := range s.lines {
		all += l.Text + "\n" + l.Shown + "\n"
	}
	for _, l := range p.Tail(120) {
		all += l.Text + "\n"
	}
	for _, secret := range []string{"canary-secret-1", "abc123def456", "hunter2", "abcdefgh12345", "pa55word"} {
		if strings.Contains(all, secret) {
			t.Errorf("%q is in:\n%s", secret, all)
		}
	}
	if !strings.Contains(all, "tokens are good") || !strings.Contains(all, "@host:1/") {
		t.Errorf("too much is hidden:\n%s", all)
	}
}

func TestRepeatsAreShownOnceAndEveryFiftieth(t *testing.T) { // B300
	var same []string
	for range 120 {
		same = append(same, "again")
	}
	s, p := run(t, nil, nil, lines(same...))
	shown := 0
	for _, l := range s.lines {
		if !l.Hidden {
			shown++
		}
	}
	if shown != 3 || p.Stats().Repeated != 119 {
		t.Errorf("shown = %d, stats = %+v", shown, p.Stats())
	}
}

func TestCountsAddUpAndOrderIsKept(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 600).Draw(rt, "lines")
		f := &fake{BreakOnce: rapid.Bool().Draw(rt, "break")}
		var items []launcher.OutputItem
		for i := 0; i < n; {
			size := min(n-i, rapid.IntRange(1, 300).Draw(rt, "batch"))
			b := &launcher.LineBatch{}
			for range size {
				i++
				b.Lines = append(b.Lines,
					plugin.Line{Text: fmt.Sprintf("line %d %s", i,
						rapid.SampledFrom([]string{"", "bad", "noise"}).Draw(rt, "kind")), Cursor: uint64(i)})
			}
			items = append(items, b)
		}
		s, p := run(t, f, nil, items...)
		st := p.Stats()
		if st.Read != uint64(n) || st.Classified+st.Unclassified != st.Read || len(s.lines) != n ||
			p.Cursor() != uint64(n) {
			rt.Fatalf("n = %d, seen = %d, stats = %+v", n, len(s.lines), st)
		}
		for i, l := range s.lines {
			if l.Cursor != uint64(i+1) {
				rt.Fatalf("line %d has cursor %d", i, l.Cursor)
			}
		}
	})
}

func BenchmarkPipeline(b *testing.B) {
	p := output.New(output.Options{
		Classifiers: []output.Named{{Name: "f", Classifier: &fake{}}},
		Redactor:    redact.New([]string{"a-secret-value"}),
	})
	defer p.Close()
	batch := &launcher.LineBatch{}
	for i := range 256 {
		batch.Lines = append(batch.Lines,
			plugin.Line{
				Text: fmt.Sprintf("2026-11-23T10:00:00.000+00:00 [gateway] line number %d of an ordinary length", i),
			})
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = p.Feed(b.Context(), batch)
	}
	p.Drained(b.Context())
}
