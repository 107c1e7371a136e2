package outlog_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/shim/outlog"
)

var t0 = time.Unix(1700000000, 5)

type reader interface {
	Read(from uint64) *outlog.Cursor
}

// all reads what there is; it checks that positions are contiguous apart from gaps.
func all(t *testing.T, log reader, from uint64) (data []byte, gaps []outlog.Gap, end uint64) {
	t.Helper()
	next := from
	for c := log.Read(from); ; {
		b, err := c.Next()
		if errors.Is(err, io.EOF) {
			return data, gaps, next
		}
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		if b.Gap != nil {
			if b.Gap.From != next || b.Gap.To <= b.Gap.From {
				t.Fatalf("gap %+v at %d", *b.Gap, next)
			}
			next = b.Gap.To
			gaps = append(gaps, *b.Gap)
		}
		for _, r := range b.Records {
			if r.Offset != next {
				t.Fatalf("record at %d, want %d", r.Offset, next)
			}
			next = r.End()
			data = append(data, r.Data...)
		}
		if b.Wait != nil {
			return data, gaps, next
		}
	}
}

func create(t *testing.T, size int64) (*outlog.Writer, string) {
	t.Helper()
	dir := t.TempDir()
	w, err := outlog.Create(dir, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w, dir
}

func open(t *testing.T, dir string) *outlog.Log {
	t.Helper()
	log, err := outlog.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	return log
}

func TestWhatWasWrittenIsReadAgainWithItsTimeAndStream(t *testing.T) {
	w, dir := create(t, 0)
	w.Append(outlog.Stdout, t0, []byte("one\n"))
	w.Append(outlog.Stderr, t0.Add(time.Second), []byte("tw"))
	w.Append(outlog.Stderr, t0.Add(2*time.Second), []byte("o\n"))
	for name, log := range map[string]reader{"live": w, "left behind": open(t, dir)} {
		b, err := log.Read(0).Next()
		if err != nil || len(b.Records) != 3 || b.Gap != nil {
			t.Fatalf("%s: Next = %+v, %v, want 3 records", name, b, err)
		}
		r := b.Records[2]
		if !r.Time.Equal(t0.Add(2*time.Second)) || r.Stream != outlog.Stderr || r.Flags != outlog.FlagContinues ||
			string(r.Data) != "o\n" {
			t.Errorf("%s: third record = %+v", name, r)
		}
		if b.Records[0].Flags != 0 || b.Records[1].Flags != 0 {
			t.Errorf("%s: records at the start of a line are marked as continuing", name)
		}
	}
}

func TestReadingFromAnyOffsetGivesExactlyTheRest(t *testing.T) {
	w, dir := create(t, outlog.MinSize)
	var want []byte
	for i := range 50 {
		chunk := fmt.Appendf(nil, "chunk %d%s\n", i, strings.Repeat("x", i))
		want = append(want, chunk...)
		w.Append(outlog.Stream(1+i%2), t0, chunk)
	}
	log := open(t, dir)
	for from := 0; from <= len(want); from += 7 {
		for _, l := range []reader{w, log} {
			got, gaps, end := all(t, l, uint64(from))
			if !bytes.Equal(got, want[from:]) || len(gaps) != 0 || end != uint64(len(want)) {
				t.Fatalf("from %d: got %d bytes, gaps %v, end %d, want the last %d bytes", from, len(got), gaps, end,
					len(want)-from)
			}
		}
	}
}

func TestALogThatTurnedKeepsItsLastHalfAtLeastAndTellsTheGap(t *testing.T) {
	w, dir := create(t, outlog.MinSize)
	var want []byte
	rnd := rand.New(rand.NewPCG(1, 2))
	for len(want) < 5*outlog.MinSize {
		chunk := bytes.Repeat([]byte{byte('a' + rnd.IntN(26))}, 1+rnd.IntN(3*outlog.MaxData))
		want = append(want, chunk...)
		w.Append(outlog.Stdout, t0, chunk)
		for name, l := range map[string]reader{"live": w, "left behind": open(t, dir)} {
			got, gaps, end := all(t, l, 0)
			if end != uint64(len(want)) || !bytes.HasSuffix(want, got) {
				t.Fatalf("%s: read %d bytes to %d that are not the last of %d", name, len(got), end, len(want))
			}
			lost := uint64(0)
			for _, g := range gaps {
				lost += g.Bytes()
			}
			if lost+uint64(len(got)) != uint64(len(want)) {
				t.Fatalf("%s: %d lost + %d read != %d written", name, lost, len(got), len(want))
			}
			if keep := min(len(want), outlog.MinSize/2-2*outlog.MaxData); len(got) < keep {
				t.Fatalf("%s: only %d bytes are kept, want %d", name, len(got), keep)
			}
		}
	}
	if fi, err := os.Stat(filepath.Join(dir, "output-0.log")); err != nil || fi.Size() > outlog.MinSize/2 {
		t.Errorf("segment: %v, %v, want at most %d bytes", fi.Size(), err, outlog.MinSize/2)
	}
}

func TestAFollowerThatLagsGetsAGapAndThenTheRest(t *testing.T) {
	w, _ := create(t, outlog.MinSize)
	c := w.Read(0)
	w.Append(outlog.Stdout, t0, []byte("first\n"))
	if b, err := c.Next(); err != nil || len(b.Records) != 1 {
		t.Fatalf("Next = %+v, %v", b, err)
	}
	for range 40 {
		w.Append(outlog.Stdout, t0, bytes.Repeat([]byte("y"), outlog.MaxData))
	}
	b, err := c.Next()
	if err != nil || b.Gap == nil || b.Gap.From != 6 || len(b.Records) == 0 || b.Records[0].Offset != b.Gap.To {
		t.Fatalf("Next of a lagging reader = %+v, %v, want a gap from 6 and records after it", b.Gap, err)
	}
}

func TestAFollowerIsWokenAndEnds(t *testing.T) {
	w, _ := create(t, outlog.MinSize)
	const writes = 2000
	go func() {
		for i := range writes {
			w.Append(outlog.Stderr, t0, fmt.Appendf(nil, "%d\n", i))
		}
		w.Finish()
	}()
	var got strings.Builder
	for c := w.Read(0); ; {
		b, err := c.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		for _, r := range b.Records {
			got.Write(r.Data)
		}
		if b.Wait != nil {
			select {
			case <-b.Wait:
			case <-time.After(30 * time.Second):
				t.Fatal("not woken")
			}
		}
	}
	if !strings.HasSuffix(got.String(), "\n1999\n") || strings.Count(got.String(), "\n") != writes {
		t.Errorf("got %d lines, ending %q", strings.Count(got.String(), "\n"), got.String()[got.Len()-12:])
	}
}

func TestATornTailIsCutOffAndTheRestStands(t *testing.T) {
	w, dir := create(t, outlog.MinSize)
	w.Append(outlog.Stdout, t0, []byte("whole\n"))
	w.Append(outlog.Stdout, t0, []byte("torn\n"))
	path := filepath.Join(dir, "output-0.log")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte("torn"))+2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	got, gaps, _ := all(t, open(t, dir), 0)
	if string(got) != "whole\n" || len(gaps) != 0 {
		t.Errorf("read %q, gaps %v, want the whole record only", got, gaps)
	}
}

func TestNoLogIsAnErrorThatSaysSo(t *testing.T) {
	if _, err := outlog.Open(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open = %v, want os.ErrNotExist", err)
	}
}

// fullDisk fails every write once full is set.
type fullDisk struct {
	outlog.Storage
	full *atomic.Bool
}

var errNoSpace = errors.New("no space left on device")

func (f fullDisk) WriteAt(p []byte, off int64) (int, error) {
	if f.full.Load() {
		return 0, errNoSpace
	}
	return f.Storage.WriteAt(p, off)
}

func TestAFullDiskLosesNoLiveOutputAndIsCounted(t *testing.T) {
	var full atomic.Bool
	w, err := outlog.NewWriterOn(outlog.MinSize, func(int, int64) (outlog.Storage, error) {
		if full.Load() {
			return nil, errNoSpace
		}
		return fullDisk{outlog.NewMemory(), &full}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Append(outlog.Stdout, t0, []byte("before\n"))
	full.Store(true)
	w.Append(outlog.Stdout, t0, []byte("during\n"))
	if got, gaps, _ := all(t, w, 0); string(got) != "before\nduring\n" || len(gaps) != 0 {
		t.Errorf("read %q, gaps %v", got, gaps)
	}
	if lost, reason := w.Degraded(); lost != 7 || reason != errNoSpace.Error() {
		t.Errorf("Degraded = %d, %q, want 7 bytes and the cause", lost, reason)
	}
	for range 20 { // turns over in memory
		w.Append(outlog.Stdout, t0, bytes.Repeat([]byte("z"), outlog.MaxData))
	}
	if got, _, end := all(t, w, 0); len(got) == 0 || end != w.End() {
		t.Errorf("nothing is kept while the disk is full")
	}
	if lost, reason := w.Degraded(); lost != 7+20*outlog.MaxData || reason != errNoSpace.Error() {
		t.Errorf("Degraded after the log turned in memory = %d, %q, want the cause as long as it lasts", lost, reason)
	}
	full.Store(false)
	for range 20 {
		w.Append(outlog.Stdout, t0, bytes.Repeat([]byte("z"), outlog.MaxData))
	}
	if _, reason := w.Degraded(); reason != "" {
		t.Errorf("disk is back, but reason = %q", reason)
	}
}

func TestSizesOutsideTheBoundsAreRefused(t *testing.T) {
	for _, size := range []int64{-1, 1, outlog.MinSize - 1, outlog.MaxSize + 1} {
		if _, err := outlog.Create(t.TempDir(), size); err == nil {
			t.Errorf("Create(%d) succeeded", size)
		}
	}
}

func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	w, err := outlog.Create(dir, outlog.MinSize)
	if err != nil {
		f.Fatal(err)
	}
	w.Append(outlog.Stdout, t0, []byte("one\n"))
	w.Append(outlog.Stderr, t0, []byte("two\n"))
	w.Close()
	b, err := os.ReadFile(filepath.Join(dir, "output-0.log"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:200], b[:100])
	f.Add([]byte{}, b[:64])
	f.Add(b[:150], b[:150])
	f.Fuzz(func(t *testing.T, first, second []byte) {
		dir := t.TempDir()
		for i, b := range [][]byte{first, second} {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("output-%d.log", i)), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		log, err := outlog.Open(dir)
		if err != nil {
			return
		}
		defer log.Close()
		data, _, _ := all(t, log, 0) // checks positions
		if len(data) > len(first)+len(second) {
			t.Errorf("read %d bytes out of %d", len(data), len(first)+len(second))
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	w, err := outlog.Create(b.TempDir(), 0)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	line := []byte(strings.Repeat("x", 100) + "\n")
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		w.Append(outlog.Stderr, t0, line)
	}
}
