package shim_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/outlog"
)

// cut feeds chunks of stderr to a LineReader.
func cut(t *testing.T, chunks ...[]byte) []shim.Line {
	t.Helper()
	var reader shim.LineReader
	var lines []shim.Line
	collect := func(l shim.Line) error {
		lines = append(lines, l)
		return nil
	}
	var offset uint64
	midline := false
	for _, c := range chunks {
		r := outlog.Record{Offset: offset, Time: time.Unix(1, 0), Stream: outlog.Stderr, Data: c}
		if midline {
			r.Flags = outlog.FlagContinues
		}
		if len(c) > 0 {
			midline = c[len(c)-1] != '\n'
		}
		if err := reader.Record(r, collect); err != nil {
			t.Fatal(err)
		}
		offset += uint64(len(c))
	}
	if err := reader.Flush(offset, collect); err != nil {
		t.Fatal(err)
	}
	return lines
}

func texts(lines []shim.Line) []string {
	var got []string
	for _, l := range lines {
		got = append(got, l.Text)
	}
	return got
}

// Reference: B290; the corpus holds what the reference made of chunk borders (seed_lines) and what is right
// (want_lines).
func TestChunkBordersDoNotBreakLines(t *testing.T) {
	f, err := os.Open("testdata/stderr-chunks.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows := 0
	for s := bufio.NewScanner(f); s.Scan(); rows++ {
		var row struct {
			Chunks []string `json:"chunks_b64"`
			Want   []struct{ Line string }
			Note   string
		}
		var wants struct {
			Want []struct{ Line string } `json:"want_lines"`
		}
		if err := json.Unmarshal(s.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(s.Bytes(), &wants); err != nil {
			t.Fatal(err)
		}
		var chunks [][]byte
		for _, c := range row.Chunks {
			b, err := base64.StdEncoding.DecodeString(c)
			if err != nil {
				t.Fatal(err)
			}
			chunks = append(chunks, b)
		}
		var want []string
		for _, w := range wants.Want {
			want = append(want, w.Line)
		}
		// The corpus trims and drops blank lines, which is the business of the pipeline behind us.
		var got []string
		for _, text := range texts(cut(t, chunks...)) {
			if text = strings.TrimSpace(text); text != "" {
				got = append(got, text)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", row.Note, got, want)
		}
	}
	if rows == 0 {
		t.Fatal("no rows")
	}
}

func TestEverySplitOfATextGivesTheSameLines(t *testing.T) {
	const text = "plain\r\nzwei\nüber 网关 🦞\r\n\r\n\nx\ry\n\xff\xfeA\nlast"
	want := texts(cut(t, []byte(text)))
	for i := range len(text) {
		for j := i; j < len(text); j++ {
			got := cut(t, []byte(text[:i]), []byte(text[i:j]), []byte(text[j:]))
			if !slices.Equal(texts(got), want) {
				t.Fatalf("split at %d and %d:\n got %q\nwant %q", i, j, texts(got), want)
			}
			if last := got[len(got)-1]; !last.Partial || last.Offset <= uint64(len(text)) {
				t.Fatalf("last line = %+v, want it partial and after the end", last)
			}
		}
	}
}

func TestLongLinesAreCutAndMarkedWithoutHoldingMore(t *testing.T) {
	for _, tc := range []struct {
		name      string
		text      string
		want      int
		truncated bool
	}{
		{"just fits", strings.Repeat("a", shim.MaxLine), shim.MaxLine, false},
		{"one too many", strings.Repeat("a", shim.MaxLine+1), shim.MaxLine, true},
		{"carriage return does not count", strings.Repeat("a", shim.MaxLine) + "\r", shim.MaxLine, false},
		{"much too long", strings.Repeat("a", 5*shim.MaxLine), shim.MaxLine, true},
		{"letter at the border is left out", strings.Repeat("a", shim.MaxLine-1) + "网", shim.MaxLine - 1, true},
	} {
		lines := cut(t, []byte(tc.text), []byte("\nnext\n"))
		if len(lines) != 2 || len(lines[0].Text) != tc.want || lines[0].Truncated != tc.truncated {
			t.Errorf("%s: %d lines, %d bytes, truncated %t; want %d bytes, %t",
				tc.name, len(lines), len(lines[0].Text), lines[0].Truncated, tc.want, tc.truncated)
			continue
		}
		if lines[1].Text != "next" || lines[1].Truncated {
			t.Errorf("%s: the line after it = %+v", tc.name, lines[1])
		}
	}
}

func TestALineWhoseBeginningIsLostIsMarked(t *testing.T) {
	var reader shim.LineReader
	var lines []shim.Line
	collect := func(l shim.Line) error {
		lines = append(lines, l)
		return nil
	}
	feed := func(offset uint64, flags uint8, text string) {
		if err := reader.Record(outlog.Record{Offset: offset, Stream: outlog.Stdout, Flags: flags, Data: []byte(text)},
			collect); err != nil {
			t.Fatal(err)
		}
	}
	feed(100, outlog.FlagContinues, "tail\nfull\nbegin")
	reader.Gap()
	feed(200, outlog.FlagContinues, "end\nmore\n")
	want := []shim.Line{
		{Offset: 105, Stream: outlog.Stdout, Text: "tail", Truncated: true},
		{Offset: 110, Stream: outlog.Stdout, Text: "full"},
		{Offset: 204, Stream: outlog.Stdout, Text: "end", Truncated: true},
		{Offset: 209, Stream: outlog.Stdout, Text: "more"},
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got %+v\nwant %+v", lines, want)
	}
}

// The resume rule: reading again from any line's offset gives exactly the lines after it.
func TestNoLineComesTwiceOrIsMissingAfterAResume(t *testing.T) {
	items := randomOutput(200)
	everything := linesAfter(t, items, 0)
	for i, line := range everything {
		got := linesAfter(t, items, line.Offset)
		if !slices.Equal(got, everything[i+1:]) {
			t.Fatalf("resumed after line %d (offset %d): %d lines, want %d", i, line.Offset, len(got),
				len(everything)-i-1)
		}
		if i > 0 && line.Offset <= everything[i-1].Offset {
			t.Fatalf("offset of line %d does not grow: %d after %d", i, line.Offset, everything[i-1].Offset)
		}
	}
}

func randomOutput(n int) []shim.Item {
	rnd := rand.New(rand.NewPCG(7, 7))
	var items []shim.Item
	var offset uint64
	for i := range n {
		text := fmt.Sprintf("%d", i)
		if rnd.IntN(2) == 0 {
			text += "\n"
		}
		if rnd.IntN(5) == 0 {
			text += "x\ny\n"
		}
		r := outlog.Record{Offset: offset, Stream: outlog.Stream(1 + rnd.IntN(2)), Data: []byte(text)}
		offset = r.End()
		items = append(items, shim.Record{Record: r})
	}
	for _, s := range []outlog.Stream{outlog.Stdout, outlog.Stderr} { // both end without a line feed
		r := outlog.Record{Offset: offset, Stream: s, Data: []byte("open")}
		offset = r.End()
		items = append(items, shim.Record{Record: r})
	}
	return append(items, shim.End{EndOffset: offset, Exit: &shim.Exit{}})
}

func linesAfter(t *testing.T, items []shim.Item, cursor uint64) []shim.Line {
	t.Helper()
	var lines []shim.Line
	sink := shim.CutLines(cursor, func(item shim.Item) error {
		switch item := item.(type) {
		case shim.Line:
			lines = append(lines, item)
		case shim.End:
			if len(lines) > 0 && item.EndCursor < lines[len(lines)-1].Offset {
				t.Errorf("end cursor %d is before the last line", item.EndCursor)
			}
		}
		return nil
	})
	for _, item := range items {
		if err := sink(item); err != nil {
			t.Fatal(err)
		}
	}
	return lines
}

func TestAGapIsToldFromTheCursorOn(t *testing.T) {
	var got []shim.Item
	sink := shim.CutLines(50, func(item shim.Item) error {
		got = append(got, item)
		return nil
	})
	for _, g := range []outlog.Gap{{From: 0, To: 40}, {From: 40, To: 90}} {
		if err := sink(shim.Gap{Gap: g}); err != nil {
			t.Fatal(err)
		}
	}
	want := []shim.Item{shim.Gap{Gap: outlog.Gap{From: 50, To: 90}}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func FuzzLineReader(f *testing.F) {
	f.Add([]byte("a\r\nb\n\xe7\xbd"), uint8(3))
	f.Add([]byte("\xf0\x9f\xa6\x9e ok\n"), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		n := int(step)%16 + 1
		var chunks [][]byte
		for c := range slices.Chunk(data, n) {
			chunks = append(chunks, c)
		}
		got, want := cut(t, chunks...), cut(t, data)
		if !slices.Equal(texts(got), texts(want)) {
			t.Errorf("chunks of %d: %q, whole: %q", n, texts(got), texts(want))
		}
		var last uint64
		for _, l := range got {
			if !utf8.ValidString(l.Text) || len(l.Text) > 3*shim.MaxLine || strings.Contains(l.Text, "\n") {
				t.Errorf("line %q", l.Text)
			}
			if l.Offset <= last {
				t.Errorf("offset %d after %d", l.Offset, last)
			}
			last = l.Offset
		}
		if strings.Count(string(data), "\n") > len(got) {
			t.Errorf("%d lines out of %q", len(got), data)
		}
	})
}
