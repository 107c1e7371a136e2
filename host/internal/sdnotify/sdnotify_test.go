package sdnotify

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

// manager is a service manager that remembers what it was told, and when.
type manager struct {
	mu    sync.Mutex
	told  []string
	at    []time.Duration
	began time.Time
	fails error
}

func (m *manager) hear(state string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, state)
	m.at = append(m.at, time.Since(m.began))
	return m.fails
}

func (m *manager) count(state string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(m.told), func(s string) bool { return s != state }))
}

func bubble(t *testing.T, f func(t *testing.T, m *manager, n *Notifier)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := &manager{began: time.Now()}
		f(t, m, with(hclog.NewNullLogger(), m.hear))
	})
}

// TestWatchdogStopsWhenTheHostIsStuck: as long as it works it is told twice in the limit, and never afterwards.
func TestWatchdogStopsWhenTheHostIsStuck(t *testing.T) {
	bubble(t, func(t *testing.T, m *manager, n *Notifier) {
		const limit = 30 * time.Second
		stuck := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			n.Watchdog(ctx, limit, func(ctx context.Context) error {
				select {
				case <-stuck:
					<-ctx.Done()
					return context.Cause(ctx)
				default:
					return nil
				}
			})
		}()
		time.Sleep(10 * limit)
		synctest.Wait()
		before := m.count("WATCHDOG=1")
		if before < 20 || before > 21 {
			t.Errorf("told %d times in ten limits", before)
		}
		for i, at := range m.at[1:] {
			if gap := at - m.at[i]; gap >= limit {
				t.Errorf("nothing was told for %v; the limit is %v", gap, limit)
			}
		}
		close(stuck)
		time.Sleep(10 * limit)
		synctest.Wait()
		if after := m.count("WATCHDOG=1"); after > before {
			t.Errorf("told %d times while it was stuck", after-before)
		}
		cancel()
		<-done
	})
}

func TestWatchdogThatIsNotWantedDoesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, m *manager, n *Notifier) {
		n.Watchdog(t.Context(), 0, func(context.Context) error { t.Error("asked"); return nil })
		if len(m.told) != 0 {
			t.Errorf("told: %q", m.told)
		}
	})
}

// TestStopAsksForTimeAsLongAsItLasts: each request comes before the time of the one before is over.
func TestStopAsksForTimeAsLongAsItLasts(t *testing.T) {
	bubble(t, func(t *testing.T, m *manager, n *Notifier) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		n.Stopping(ctx)
		if m.told[0] != "STOPPING=1" || m.count("EXTEND_TIMEOUT_USEC=30000000") != len(m.told)-1 {
			t.Errorf("told: %q", m.told)
		}
		last := time.Duration(0)
		for _, at := range append(m.at, time.Since(m.began)) {
			if at-last > extension {
				t.Errorf("no more time was asked for between %v and %v", last, at)
			}
			last = at
		}
	})
}

// TestStatusIsOneLineAndNoFlood: it is cut, line feeds are none, and the same text is told once.
func TestStatusIsOneLineAndNoFlood(t *testing.T) {
	bubble(t, func(t *testing.T, m *manager, n *Notifier) {
		changed := make(chan struct{}, 1)
		var mu sync.Mutex
		line := "a\nWATCHDOG=1\n" + strings.Repeat("ä", 300)
		say := func(text string) {
			mu.Lock()
			defer mu.Unlock()
			line = text
		}
		done := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer close(done)
			n.Status(ctx, changed, func() string {
				mu.Lock()
				defer mu.Unlock()
				return line
			})
		}()
		synctest.Wait()
		if s := m.told[0]; strings.Contains(s, "\n") || len(s) > len("STATUS=")+maxStatus || !strings.HasSuffix(s, "...") ||
			!strings.HasPrefix(s, "STATUS=a WATCHDOG=1 ä") {
			t.Errorf("told: %q", s)
		}
		say("two")
		for range 1000 {
			select {
			case changed <- struct{}{}:
			default:
			}
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		if m.count("STATUS=two") != 1 || len(m.told) != 2 {
			t.Errorf("told: %q", m.told)
		}
		cancel()
		<-done
	})
}

func TestReloadSaysWhenItBegan(t *testing.T) {
	bubble(t, func(t *testing.T, m *manager, n *Notifier) {
		n.Reloading()
		n.Ready()
		_, known := monotonic()
		if !strings.HasPrefix(m.told[0], "RELOADING=1") || known != strings.Contains(m.told[0], "\nMONOTONIC_USEC=") ||
			m.told[1] != "READY=1" {
			t.Errorf("told: %q", m.told)
		}
	})
}

// TestManagerThatIsGoneHarmsNothing: it is logged once, not each time.
func TestManagerThatIsGoneHarmsNothing(t *testing.T) {
	var log strings.Builder
	m := &manager{fails: errors.New("connection refused")}
	n := with(hclog.New(&hclog.LoggerOptions{Output: &log}), m.hear)
	for range 10 {
		n.Ready()
	}
	if got := strings.Count(log.String(), "cannot tell the service manager"); got != 1 || len(m.told) != 10 {
		t.Errorf("logged %d times: %s", got, &log)
	}
}

// TestNotifySocketIsUsed: the messages reach the socket that the environment names; without one there is nothing to do.
func TestNotifySocketIsUsed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "4000000")
	t.Setenv("WATCHDOG_PID", "")
	n, limit := New(hclog.NewNullLogger())
	n.Ready()
	buf := make([]byte, 100)
	size, err := conn.Read(buf)
	if err != nil || string(buf[:size]) != "READY=1" || limit != 4*time.Second {
		t.Errorf("%q, %v, watchdog %v", buf[:size], err, limit)
	}
	t.Setenv("WATCHDOG_USEC", "soon")
	if _, limit := New(hclog.NewNullLogger()); limit != 0 {
		t.Errorf("watchdog %v of a value that is no number", limit)
	}
	t.Setenv("NOTIFY_SOCKET", "")
	n.Ready() // no error to log, nothing to wait for
}
