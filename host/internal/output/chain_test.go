package output_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehost/gatehost/host/internal/output"
	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/plugin"
)

// rules is a classifier that claims the lines with a word, by a rule of that name.
type rules struct {
	Word    string
	Level   classifier.Level
	Symptom plugin.Symptom
	Default classifier.Level // of all other lines
	Late    time.Duration    // before each answer
	opens   int
	closes  int
	asked   []string
}

func (r *rules) Open(context.Context, plugin.GatewayFacts, string) (classifier.Stream, error) {
	r.opens++
	return r, nil
}

func (r *rules) Classify(ctx context.Context, lines []classifier.NumberedLine) ([]classifier.Verdict, error) {
	if r.Late > 0 {
		select {
		case <-time.After(r.Late):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	out := make([]classifier.Verdict, len(lines))
	for i, l := range lines {
		r.asked = append(r.asked, l.Line.Text)
		out[i] = classifier.Verdict{Seq: l.Seq, Level: r.Default}
		if strings.Contains(l.Line.Text, r.Word) {
			out[i].Level, out[i].RuleID, out[i].Symptom = r.Level, r.Word, r.Symptom
		}
	}
	return out, nil
}

func (r *rules) Close() error {
	r.closes++
	return nil
}

// chained runs lines through a chain and tells what became of them, and the symptoms that were told.
func chained(t *testing.T, chain []output.Named, texts ...string) ([]output.Classified, []plugin.Symptom) {
	t.Helper()
	var got []output.Classified
	var symptoms []plugin.Symptom
	p := output.New(output.Options{
		Classifiers: chain, Redactor: redact.New(nil),
		OnLine:    func(c output.Classified) { got = append(got, c) },
		OnSymptom: func(s plugin.Symptom, _ plugin.Line) { symptoms = append(symptoms, s) },
	})
	if err := p.Feed(t.Context(), lines(texts...)); err != nil {
		t.Fatal(err)
	}
	p.Drained(t.Context())
	p.Close()
	if len(got) != len(texts) {
		t.Fatalf("%d lines came out of %d", len(got), len(texts))
	}
	return got, symptoms
}

func TestFirstClassifierThatClaimsALineDecidesItAndAllOthersAreRecorded(t *testing.T) {
	own := &rules{Word: "quota", Level: classifier.LevelDrop, Default: classifier.LevelInfo}
	second := &rules{
		Word: "quota exceeded", Level: classifier.LevelError, Symptom: plugin.SymptomTransient,
		Default: classifier.LevelDebug,
	}
	third := &rules{
		Word: "exceeded", Level: classifier.LevelWarn, Symptom: plugin.SymptomRuntimeFatal,
		Default: classifier.LevelError,
	}
	got, symptoms := chained(t,
		[]output.Named{
			{Name: "own", Classifier: own},
			{Name: "second", Classifier: second},
			{Name: "third", Classifier: third},
		},
		"quota exceeded", "limit exceeded", "hello")
	first := got[0]
	if first.By != "own" || first.RuleID != "quota" || first.Level != classifier.LevelDrop ||
		first.Symptom != plugin.NoSymptom || !slices.Equal(first.Also, []output.Claim{
		{Plugin: "second", Level: classifier.LevelError, RuleID: "quota exceeded", Symptom: plugin.SymptomTransient},
		{Plugin: "third", Level: classifier.LevelWarn, RuleID: "exceeded", Symptom: plugin.SymptomRuntimeFatal},
	}) {
		t.Errorf("the line that all claim: %+v", first)
	}
	if g := got[1]; g.By != "third" || g.Symptom != plugin.SymptomRuntimeFatal || len(g.Also) != 0 {
		t.Errorf("the line that the last one claims: %+v", g)
	}
	if g := got[2]; g.By != "" || g.Level != classifier.LevelInfo || len(g.Also) != 0 {
		t.Errorf("the line that no classifier claims has the level of the first one: %+v", g)
	}
	// Who decides a line decides its symptom, too: that of a line that another one claimed moves nothing.
	if !slices.Equal(symptoms, []plugin.Symptom{plugin.SymptomRuntimeFatal}) {
		t.Errorf("symptoms = %v", symptoms)
	}
}

func TestOrderOfTheChainDecides(t *testing.T) {
	a := &rules{Word: "x", Level: classifier.LevelInfo, Symptom: plugin.SymptomTransient}
	b := &rules{Word: "x", Level: classifier.LevelError, Symptom: plugin.SymptomZombie}
	for name, chain := range map[string][]output.Named{
		"a": {{Name: "a", Classifier: a}, {Name: "b", Classifier: b}},
		"b": {{Name: "b", Classifier: b}, {Name: "a", Classifier: a}},
	} {
		want := map[string]plugin.Symptom{"a": plugin.SymptomTransient, "b": plugin.SymptomZombie}[name]
		if got, symptoms := chained(t, chain, "x"); got[0].By != name ||
			!slices.Equal(symptoms, []plugin.Symptom{want}) {
			t.Errorf("with %s first: %+v, %v", name, got[0], symptoms)
		}
	}
}

// Two that hang cost one deadline, not two, and cost it once.
func TestClassifiersThatAreLateAreSkippedAndDelayOthersByOneDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := &rules{Word: "x", Late: time.Hour}
		later := &rules{Word: "x", Late: time.Hour}
		prompt := &rules{
			Word: "x", Level: classifier.LevelError, Symptom: plugin.SymptomTransient,
			Late: 100 * time.Millisecond,
		}
		began := time.Now()
		var at []time.Duration
		p := output.New(output.Options{
			Classifiers: []output.Named{
				{Name: "late", Classifier: late},
				{Name: "prompt", Classifier: prompt},
				{Name: "later", Classifier: later},
			},
			Redactor: redact.New(nil),
			OnLine: func(c output.Classified) {
				at = append(at, time.Since(began))
				if c.By != "prompt" || c.Symptom != plugin.SymptomTransient {
					t.Errorf("line = %+v", c)
				}
			},
		})
		for range 3 {
			if err := p.Feed(t.Context(), lines("x")); err != nil {
				t.Fatal(err)
			}
			p.Drained(t.Context())
		}
		p.Close()
		if want := []time.Duration{
			2 * time.Second, 2100 * time.Millisecond,
			2200 * time.Millisecond,
		}; !slices.Equal(at, want) {
			t.Errorf("lines came after %v, want %v", at, want)
		}
	})
}

func TestClassifierThatIsDeadOrAbsentDoesNotSpeakForTheOthers(t *testing.T) {
	for name, broken := range map[string]classifier.Classifier{
		"absent": &fake{OpenErr: context.DeadlineExceeded}, "panics": &fake{Panics: true},
		"nonsense": &fake{WrongSeq: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			good := &rules{Word: "x", Level: classifier.LevelError, Default: classifier.LevelInfo}
			got, _ := chained(t,
				[]output.Named{{Name: "broken", Classifier: broken}, {Name: "good", Classifier: good}}, "x", "y")
			if got[0].By != "good" || got[1].Level != classifier.LevelInfo {
				t.Errorf("%s: %+v", name, got)
			}
		})
	}
}

// A chain changes between two batches: who stays keeps its stream, who goes is closed, and no line is lost or told
// twice.
func TestChainChangesWhileLinesCome(t *testing.T) {
	stays := &rules{Word: "s", Level: classifier.LevelInfo}
	goes := &rules{Word: "x", Level: classifier.LevelInfo}
	comes := &rules{Word: "x", Level: classifier.LevelError}
	var got []string
	p := output.New(output.Options{
		Classifiers: []output.Named{{Name: "goes", Classifier: goes}, {Name: "stays", Classifier: stays}},
		Redactor:    redact.New(nil),
		OnLine:      func(c output.Classified) { got = append(got, c.Text+" "+c.By) },
	})
	feed := func(text string) {
		t.Helper()
		if err := p.Feed(t.Context(), lines(text)); err != nil {
			t.Fatal(err)
		}
		p.Drained(t.Context())
	}
	feed("x 1")
	p.SetChain([]output.Named{{Name: "stays", Classifier: stays}, {Name: "comes", Classifier: comes}})
	feed("x 2")
	p.SetChain(nil)
	feed("x 3")
	p.Close()
	if !slices.Equal(got, []string{"x 1 goes", "x 2 comes", "x 3 "}) || stays.opens != 1 || goes.closes != 1 ||
		stays.closes != 1 || comes.closes != 1 {
		t.Errorf("lines = %q; stays %+v, goes %+v, comes %+v", got, stays, goes, comes)
	}
}
