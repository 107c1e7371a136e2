package outlog_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatehost/gatehost/shared/shim/outlog"
)

// disk is a storage that counts and fails as told.
type disk struct {
	outlog.Storage
	opened, closed int
	readErr        error // what reading gives, besides data
	writeErr       error
}

func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	n, err := d.Storage.ReadAt(p, off)
	if d.readErr != nil {
		err = d.readErr
	}
	return n, err
}

func (d *disk) WriteAt(p []byte, off int64) (int, error) {
	if d.writeErr != nil {
		return 0, d.writeErr
	}
	return d.Storage.WriteAt(p, off)
}

func (d *disk) Close() error {
	d.closed++
	return nil
}

func onDisks(t *testing.T, halves ...*disk) *outlog.Writer {
	t.Helper()
	w, err := outlog.NewWriterOn(outlog.MinSize, func(i int, _ int64) (outlog.Storage, error) {
		halves[i].opened++
		if halves[i].Storage == nil {
			return nil, errors.New("there is no room")
		}
		return halves[i], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func newDisk() *disk { return &disk{Storage: outlog.NewMemory()} }

// TestEachHalfIsOpenedOnceAndClosedOnce, also after the log has turned many times.
func TestEachHalfIsOpenedOnceAndClosedOnce(t *testing.T) {
	a, b := newDisk(), newDisk()
	w := onDisks(t, a, b)
	for range 100 {
		w.Append(outlog.Stdout, t0, bytes.Repeat([]byte("x"), outlog.MaxData))
	}
	w.Close()
	for name, d := range map[string]*disk{"first": a, "second": b} {
		if d.opened != 1 || d.closed != 1 {
			t.Errorf("the %s half was opened %d times and closed %d times", name, d.opened, d.closed)
		}
	}
}

// TestAHalfThatFailsIsClosedWhenMemoryTakesItsPlace.
func TestAHalfThatFailsIsClosedWhenMemoryTakesItsPlace(t *testing.T) {
	a, b := newDisk(), newDisk()
	w := onDisks(t, a, b)
	a.writeErr, b.writeErr = errors.New("the disk is full"), errors.New("the disk is full")
	w.Append(outlog.Stdout, t0, []byte("kept\n"))
	if b.closed != 1 || a.closed != 0 { // what is in the first half stays readable
		t.Errorf("closed %d and %d times", a.closed, b.closed)
	}
	if data, _, _ := all(t, w, 0); string(data) != "kept\n" {
		t.Errorf("got %q", data)
	}
	w.Close()
	none := onDisks(t, &disk{}, &disk{})
	none.Append(outlog.Stdout, t0, []byte("kept\n"))
	if data, _, _ := all(t, none, 0); string(data) != "kept\n" {
		t.Errorf("without a disk: %q", data)
	}
	if lost, why := none.Degraded(); lost != 5 || why != "there is no room" {
		t.Errorf("%d bytes lost, %q", lost, why)
	}
	none.Close()
}

// TestWhatTheDiskGivesBackWithAnErrorIsAGap: data that come with an error are not believed; those before the end of a
// file that was cut off are.
func TestWhatTheDiskGivesBackWithAnErrorIsAGap(t *testing.T) {
	for _, row := range []struct {
		err  error
		data string
		gaps int
	}{{errors.New("input/output error"), "", 1}, {io.EOF, "one\n", 0}, {nil, "one\n", 0}} {
		a := newDisk()
		w := onDisks(t, a, newDisk())
		w.Append(outlog.Stdout, t0, []byte("one\n"))
		a.readErr = row.err
		if data, gaps, _ := all(t, w, 0); string(data) != row.data || len(gaps) != row.gaps {
			t.Errorf("%v: %q, %v", row.err, data, gaps)
		}
		w.Close()
	}
}

// TestARecordThatIsCutSaysWhetherItBeginsALine, as the whole one does.
func TestARecordThatIsCutSaysWhetherItBeginsALine(t *testing.T) {
	r := outlog.Record{Offset: 10, Stream: outlog.Stdout, Flags: outlog.FlagContinues, Data: []byte("a\nbc\n")}
	for from, want := range map[uint64]outlog.Record{
		10: r,
		11: {Offset: 11, Stream: 1, Flags: outlog.FlagContinues, Data: []byte("\nbc\n")},
		12: {Offset: 12, Stream: 1, Data: []byte("bc\n")},
		13: {Offset: 13, Stream: 1, Flags: outlog.FlagContinues, Data: []byte("c\n")},
		15: r,
	} {
		got := r.From(from)
		if got.Offset != want.Offset || got.Flags != want.Flags || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("from %d: %+v, want %+v", from, got, want)
		}
	}
}

// TestAGapSaysHowManyLinesEndedBeforeItsEnd, in a live log and in one that was left behind. In one of an older shim it
// is not known.
func TestAGapSaysHowManyLinesEndedBeforeItsEnd(t *testing.T) {
	w, dir := create(t, outlog.MinSize)
	line := append(bytes.Repeat([]byte("x"), 99), '\n')
	for range 10_000 {
		w.Append(outlog.Stdout, t0, line)
	}
	lines := func(log reader) uint64 {
		t.Helper()
		_, gaps, _ := all(t, log, 0)
		if len(gaps) != 1 {
			t.Fatalf("gaps = %v", gaps)
		}
		if gaps[0].ToLine != 0 && gaps[0].ToLine != gaps[0].To/100 {
			t.Errorf("%d lines before %d", gaps[0].ToLine, gaps[0].To)
		}
		return gaps[0].ToLine
	}
	if lines(w) == 0 || lines(open(t, dir)) == 0 {
		t.Error("the lines are not known")
	}
	for _, name := range []string{"output-0.log", "output-1.log"} { // an older shim left these bytes empty
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, outlog.HeaderSize-32), 32); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := lines(open(t, dir)); n != 0 {
		t.Errorf("%d lines in the log of an older shim", n)
	}
}

// TestMemoryReadsAsAFileDoes: io.EOF comes with the data that are there.
func TestMemoryReadsAsAFileDoes(t *testing.T) {
	m := outlog.NewMemory()
	if _, err := m.WriteAt([]byte("abc"), 2); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		off  int64
		size int
		want string
		err  error
	}{{2, 3, "abc", nil}, {0, 3, "\x00\x00a", nil}, {3, 3, "bc", io.EOF}, {5, 3, "", io.EOF}} {
		p := make([]byte, row.size)
		if n, err := m.ReadAt(p, row.off); string(p[:n]) != row.want || !errors.Is(err, row.err) {
			t.Errorf("%d bytes at %d: %q, %v", row.size, row.off, p[:n], err)
		}
	}
}
