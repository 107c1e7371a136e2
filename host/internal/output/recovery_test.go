package output_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehost/gatehost/host/internal/output"
	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// restarting is a classifier whose plugin is down until Back.
type restarting struct {
	fake
	Back time.Time
}

func (r *restarting) Open(ctx context.Context, gw plugin.GatewayFacts, id string) (classifier.Stream, error) {
	if time.Now().Before(r.Back) {
		return nil, errors.New("the plugin is being restarted")
	}
	return r.fake.Open(ctx, gw, id)
}

func TestSymptomSurvivesTheRestartOfTheClassifiersPlugin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := run(t, &restarting{Back: time.Now().Add(1500 * time.Millisecond)}, nil, lines("bad"))
		if len(s.symptoms) != 1 || p.Stats().Unclassified != 0 {
			t.Errorf("symptoms = %v, stats = %+v", s.symptoms, p.Stats())
		}
	})
}

func TestClassifierIsAskedAgainAfterItsGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{Hangs: true}
		var got []plugin.Symptom
		p := output.New(output.Options{
			Classifiers: []output.Named{{Name: "f", Classifier: f}},
			OnSymptom:   func(x plugin.Symptom, _ plugin.Line) { got = append(got, x) },
		})
		defer p.Close()
		feed := func() {
			if err := p.Feed(t.Context(), lines("bad")); err != nil {
				t.Fatal(err)
			}
			p.Drained(t.Context())
		}
		feed()
		f.Hangs = false
		feed() // still left alone
		if len(got) != 0 {
			t.Errorf("symptoms in the gap = %v", got)
		}
		time.Sleep(10 * time.Second)
		feed()
		if len(got) != 1 {
			t.Errorf("symptoms after the gap = %v", got)
		}
	})
}

func TestTailIsTheLastLinesInOrder(t *testing.T) {
	var all []string
	for i := range 300 {
		all = append(all, fmt.Sprint("line ", i))
	}
	_, p := run(t, nil, nil, lines(all...))
	got := p.Tail(1000)
	if len(got) != 120 || got[0].Text != "line 180" || got[119].Text != "line 299" {
		t.Errorf("%d lines from %q to %q", len(got), got[0].Text, got[len(got)-1].Text)
	}
	if got := p.Tail(2); len(got) != 2 || got[0].Text != "line 298" {
		t.Errorf("the last two = %+v", got)
	}
	if got := p.Tail(0); len(got) != 0 {
		t.Errorf("none = %+v", got)
	}
}

func TestSymptomSurvivesTheLinesAfterIt(t *testing.T) { // B297
	all := []string{"bad one"}
	for i := range 300 {
		all = append(all, fmt.Sprint("line ", i))
	}
	_, p := run(t, &fake{}, nil, lines(all...))
	if got := p.Symptoms(); len(got) != 1 || got[0] != plugin.SymptomConfigInvalid || p.Tail(120)[0].Text == "bad one" {
		t.Errorf("symptoms = %v, the ring begins with %q", got, p.Tail(120)[0].Text)
	}
}

func TestDroppedLinesAreCountedByRule(t *testing.T) { // B295
	_, p := run(t, &fake{}, nil, lines("noise", "fine", "noise too"))
	st := p.Stats()
	if st.Dropped != 2 || st.DroppedBy["r"] != 2 {
		t.Errorf("stats = %+v", st)
	}
	var byLevel [classifier.LevelError + 1]uint64
	for _, levels := range st.Levels.Plus(st.Levels) {
		for level, n := range levels {
			byLevel[level] += n
		}
	}
	if byLevel[classifier.LevelDrop] != 4 ||
		byLevel[classifier.LevelInfo]+byLevel[classifier.LevelDebug]+byLevel[classifier.LevelWarn] != 2 {
		t.Errorf("twice the lines by level = %v, want 4 dropped and 2 others", byLevel)
	}
}

func TestBatchThatIsCutOffComesAgainFromItsCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := output.New(output.Options{Classifiers: []output.Named{{Name: "f", Classifier: &fake{Hangs: true}}}})
		defer p.Close()
		b := &launcher.LineBatch{}
		for i := range 10000 { // more than the queue holds
			b.Lines = append(b.Lines, plugin.Line{Text: "x", Cursor: uint64(i + 1)})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Feed(ctx, b); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error = %v", err)
		}
		if st := p.Stats(); p.Cursor() != st.Read || st.Read == 0 || st.Read > 5000 {
			t.Errorf("cursor %d, read %d", p.Cursor(), st.Read)
		}
	})
}

// TestLostLinesAreCountedFromWhatWasRead: a gap says how many lines ended before its end; an earlier host may have
// read some of them.
func TestLostLinesAreCountedFromWhatWasRead(t *testing.T) {
	var gaps []output.Gap
	var numbers []uint64
	p := output.New(output.Options{
		Cursor: 100, Lines: 10, OnGap: func(g output.Gap) { gaps = append(gaps, g) },
		OnLine: func(c output.Classified) { numbers = append(numbers, c.Number) },
	})
	for _, item := range []launcher.OutputItem{
		&launcher.LineBatch{Lines: []plugin.Line{{Text: "eleven", Cursor: 110}}},
		&launcher.Gap{From: 110, To: 500, Bytes: 390, ToLine: 50},
		&launcher.LineBatch{Lines: []plugin.Line{
			{Text: "fifty-one", Cursor: 510},
			{Text: "no end", Cursor: 520, Partial: true},
		}},
		&launcher.Gap{From: 520, To: 600, Bytes: 80}, // lines that were not counted
	} {
		if err := p.Feed(t.Context(), item); err != nil {
			t.Fatal(err)
		}
	}
	p.Drained(t.Context())
	p.Close()
	if st := p.Stats(); st.GapLines != 39 || st.Gaps != 2 || len(gaps) != 2 || gaps[0].Lines != 39 ||
		gaps[0].Line != 50 || gaps[1].Lines != 0 {
		t.Errorf("stats %+v, gaps %+v", st, gaps)
	}
	if !slices.Equal(numbers, []uint64{11, 51, 0}) {
		t.Errorf("numbers = %v", numbers)
	}
}

func TestGapMovesTheCursorAndIsCounted(t *testing.T) {
	_, p := run(t, nil, nil, &launcher.Gap{From: 10, To: 500, Bytes: 490}, &launcher.Heartbeat{Cursor: 500},
		&launcher.End{})
	if st := p.Stats(); st.Gaps != 1 || st.GapBytes != 490 || p.Cursor() != 500 {
		t.Errorf("stats = %+v, cursor %d", st, p.Cursor())
	}
}

// TestSymptomOutlivesTheTail is B297: each line is tested as it comes, and 120 later ones do not wash away what one
// has shown.
func TestSymptomOutlivesTheTail(t *testing.T) {
	all := []string{"bad"}
	for i := range 500 {
		all = append(all, fmt.Sprint("line ", i))
	}
	all = append(all, "noise") // dropped from view, and in the tail all the same
	s, p := run(t, &fake{}, nil, lines(all...))
	tail := p.Tail(120)
	if len(s.symptoms) != 1 || len(p.Symptoms()) != 1 || len(tail) != 120 || tail[0].Text == "bad" ||
		tail[119].Text != "noise" {
		t.Errorf("symptoms %v and %v, tail of %d from %q to %q", s.symptoms, p.Symptoms(), len(tail), tail[0].Text,
			tail[len(tail)-1].Text)
	}
}

// TestRepeatSaysHowManyWereSuppressedAndItsTableIsBounded is B300.
func TestRepeatSaysHowManyWereSuppressedAndItsTableIsBounded(t *testing.T) {
	s, _ := run(t, &fake{}, nil, lines(slices.Repeat([]string{"again"}, 51)...))
	if got := s.lines[50]; got.Hidden || got.Level != classifier.LevelDebug ||
		got.Shown != "again (suppressed 49 repeats)" || got.Repeats != 50 {
		t.Errorf("the 50th repeat: %+v", got)
	}
	var all []string
	for range 2 {
		for i := range 5000 {
			all = append(all, fmt.Sprint("text ", i))
		}
	}
	s, p := run(t, &fake{}, nil, lines(all...))
	if st := p.Stats(); st.Repeated != 4096 || !s.lines[5000].Hidden || s.lines[9999].Hidden {
		t.Errorf("repeated %d, the first %t, the last %t", st.Repeated, s.lines[5000].Hidden, s.lines[9999].Hidden)
	}
}
