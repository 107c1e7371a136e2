package shim_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/outlog"
)

// TestLinesThatWereReadAndLinesThatAreLostAddUp: whatever is written, however far the reader lags, and however often it
// comes again from its last line, each line is read once or counted as lost once, while the shim lives and from what it
// left on disk.
func TestLinesThatWereReadAndLinesThatAreLostAddUp(t *testing.T) {
	lost := uint64(0)
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // a test's
		dir := t.TempDir()
		w, err := outlog.Create(dir, outlog.MinSize)
		if err != nil {
			t.Fatal(err)
		}
		r := &countingReader{t: t, seed: seed}
		written := uint64(0)
		for range 40 {
			for range rng.IntN(60) {
				data := bytes.Repeat([]byte{'x'}, 1+rng.IntN(3000))
				for range rng.IntN(6) { // line feeds anywhere, also none
					data[rng.IntN(len(data))] = '\n'
				}
				written += uint64(bytes.Count(data, []byte("\n")))
				w.Append(outlog.Stream(1+rng.IntN(2)), time.Now(), data)
			}
			switch rng.IntN(3) {
			case 0:
				r.read(w, true) // a new connection
			case 1:
				r.read(w, false)
			default: // it lags
			}
		}
		w.Finish()
		if rng.IntN(2) == 0 {
			r.read(w, true)
			w.Close()
		} else { // the shim is gone: the rest is read from its files
			w.Close()
			log, err := outlog.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			r.read(log, true)
			log.Close()
		}
		if r.lines+r.lost != written {
			t.Errorf("seed %d: %d lines read, %d lost in %d gaps, %d written", seed, r.lines, r.lost, r.gaps, written)
		}
		lost += r.lost
	}
	if lost == 0 {
		t.Error("no reader ever lagged: nothing was tested")
	}
}

// countingReader counts as a host does.
type countingReader struct {
	t     *testing.T
	seed  uint64
	from  *outlog.Cursor
	sink  func(shim.Item) error
	place uint64 // of the last line, or the end of the last gap

	lines, lost, number uint64
	gaps                int
}

// read takes what there is; afresh begins as a new connection does: from the start of what is kept, without what was
// read before.
func (r *countingReader) read(log interface {
	Read(from uint64) *outlog.Cursor
}, afresh bool,
) {
	if afresh || r.from == nil {
		r.from, r.sink = log.Read(0), shim.CutLines(r.place, r.item)
	}
	for {
		b, err := r.from.Next()
		if errors.Is(err, io.EOF) || err == nil && b.Wait != nil {
			return
		}
		if err == nil && b.Gap != nil {
			err = r.sink(shim.Gap{Gap: *b.Gap})
		}
		for _, record := range b.Records {
			err = errors.Join(err, r.sink(shim.Record{Record: record}))
		}
		if err != nil {
			r.t.Fatalf("seed %d: %v", r.seed, err)
		}
	}
}

func (r *countingReader) item(item shim.Item) error {
	switch item := item.(type) {
	case shim.Line:
		r.lines, r.number, r.place = r.lines+1, r.number+1, item.Offset
	case shim.Gap:
		if item.ToLine < r.number {
			r.t.Errorf("seed %d: a gap ends at line %d, %d were read before it", r.seed, item.ToLine, r.number)
		}
		r.lost, r.number, r.place = r.lost+item.ToLine-r.number, item.ToLine, item.To
		r.gaps++
	}
	return nil
}
