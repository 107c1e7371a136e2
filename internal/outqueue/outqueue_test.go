package outqueue_test

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehost/gatehost/internal/outqueue"
)

// sink is a writer that fails, or blocks, as long as it is told to.
type sink struct {
	mu      sync.Mutex // guards the rest
	err     error
	most    int           // of one write; then err
	blocked chan struct{} // a write waits until it is closed
	got     strings.Builder
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	blocked := s.blocked
	s.mu.Unlock()
	if blocked != nil {
		<-blocked
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return s.got.Write(p)
	}
	n, _ := s.got.Write(p[:min(s.most, len(p))])
	s.most -= n
	return n, s.err
}

func (s *sink) set(err error, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.most = err, most
}

func (s *sink) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Split(strings.TrimSuffix(s.got.String(), "\n"), "\n")
}

func remark(w io.Writer, n uint64) { _, _ = fmt.Fprintf(w, "dropped %d\n", n) }

func TestWriterNeverWaitsForAPipeThatIsNotRead(t *testing.T) {
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w := outqueue.New(pipe, outqueue.Options{Bytes: 100 << 10, Remark: remark})
	line := []byte(strings.Repeat("x", 999) + "\n")
	const lines = 1000 // ten times what fits into the pipe and the queue
	for range lines {
		if n, err := w.Write(line); n != len(line) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	if w.Flush(10 * time.Millisecond) {
		t.Error("Flush says that all was written")
	}
	dropped := w.Dropped()
	if dropped < lines/2 {
		t.Fatalf("dropped %d of %d lines: the queue is not bounded", dropped, lines)
	}
	read := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(r)
		read <- string(all)
	}()
	if !w.Close(10 * time.Second) {
		t.Error("not written although it is read again")
	}
	pipe.Close()
	all := <-read
	if got := strings.Count(all, string(line)); uint64(got)+dropped != lines {
		t.Errorf("%d lines came, %d were counted as dropped, %d were written", got, dropped, lines)
	}
	if want := fmt.Sprintf("dropped %d\n", dropped); !strings.HasSuffix(all, want) {
		t.Errorf("the end is %q, want %q", all[max(0, len(all)-80):], want)
	}
}

func TestDroppedLinesAreToldOfWhereTheyAreMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{blocked: make(chan struct{})}
		w := outqueue.New(s, outqueue.Options{Bytes: 9, Remark: remark})
		for _, line := range []string{"one\n", "two\n", "three\n", "four\n", "5\n"} {
			if _, err := w.Write([]byte(line)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // "one" is being written, and blocks
		}
		if got := w.Dropped(); got != 3 {
			t.Errorf("Dropped = %d, want 3", got)
		}
		close(s.blocked)
		synctest.Wait()
		if _, err := w.Write([]byte("six\n")); err != nil {
			t.Fatal(err)
		}
		if !w.Close(time.Second) {
			t.Error("not all was written")
		}
		if got, want := s.lines(), []string{"one", "two", "dropped 3", "six"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestWriterThatFailsIsTriedAgainWithTheNextLine(t *testing.T) {
	for _, cause := range []error{syscall.EPIPE, syscall.EIO, syscall.ENOSPC} {
		synctest.Test(t, func(t *testing.T) {
			s := &sink{err: cause}
			w := outqueue.New(s, outqueue.Options{Remark: remark})
			for _, line := range []string{"one\n", "two\nof two\n", "three\n"} {
				if n, err := w.Write([]byte(line)); n != len(line) || err != nil {
					t.Fatalf("Write = %d, %v with %v", n, err, cause)
				}
			}
			synctest.Wait()
			if got := w.Dropped(); got != 4 {
				t.Errorf("Dropped = %d, want 4 with %v", got, cause)
			}
			s.set(nil, 0)
			_, _ = w.Write([]byte("four\n"))
			w.Close(time.Second)
			if got, want := s.lines(), []string{"dropped 4", "four"}; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q with %v", got, want, cause)
			}
		})
	}
}

func TestLineThatWasCutEndsBeforeTheNextOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{err: syscall.ENOSPC, most: 2}
		w := outqueue.New(s, outqueue.Options{Remark: remark})
		_, _ = w.Write([]byte("one\n"))
		synctest.Wait()
		s.set(nil, 0)
		_, _ = w.Write([]byte("two\n"))
		w.Close(time.Second)
		if got, want := s.lines(), []string{"on", "dropped 1", "two"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// Another process that has the same pipe may make it non-blocking.
func TestDescriptorThatBecameNonBlockingIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{err: syscall.EAGAIN, most: 2}
		w := outqueue.New(s, outqueue.Options{Remark: remark})
		_, _ = w.Write([]byte("one\n"))
		time.Sleep(time.Minute)
		if got := w.Dropped(); got != 0 {
			t.Errorf("Dropped = %d, want 0", got)
		}
		s.set(nil, 0)
		if got, want := s.lines(), []string{"one"}; !w.Close(time.Minute) || !slices.Equal(s.lines(), want) {
			t.Errorf("got %q, then %q, want %q", got, s.lines(), want)
		}
	})
}

func TestFlushAndCloseDoNotWaitLongerThanTheyMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{blocked: make(chan struct{})}
		w := outqueue.New(s, outqueue.Options{})
		_, _ = w.Write([]byte("one\n"))
		began := time.Now()
		if w.Flush(time.Second) || w.Close(time.Second) {
			t.Error("says that all was written")
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("took %v, want 2s", took)
		}
		if _, err := w.Write([]byte("late\n")); err != nil || w.Dropped() != 1 {
			t.Errorf("a line after the end: error %v, dropped %d; want nil, 1", err, w.Dropped())
		}
		close(s.blocked)
		synctest.Wait() // its goroutine ends, or the bubble fails
		if got, want := s.lines(), []string{"one"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
