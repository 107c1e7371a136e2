package pluginhost

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

// TestLongLinesCountAsSeveral: the rate bounds the bytes in the host's log as well.
func TestLongLinesCountAsSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, row := range []struct{ size, want int }{
			{20, lineBurst}, {lineBytes - 1, lineBurst}, {lineBytes, lineBurst / 2}, {8 << 10, lineBurst / 17},
		} {
			passed := 0
			l := newLogs(hclog.NewNullLogger(), nil, func(string) { passed++ })
			for range 2 * lineBurst {
				l.take(strings.Repeat("x", row.size))
			}
			if passed != row.want {
				t.Errorf("of %d bytes %d lines passed, want %d", row.size, passed, row.want)
			}
			time.Sleep(2 * saysDropped) // its own timer has fired
		}
	})
}

// sharedBuffer is a log that a timer writes to while a test reads it.
type sharedBuffer struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (b *sharedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *sharedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestDroppedLinesAreReportedOnceSoonAfterTheFirst: a flood may end with the first of them.
func TestDroppedLinesAreReportedOnceSoonAfterTheFirst(t *testing.T) {
	for _, dropped := range []int{1, 5} {
		synctest.Test(t, func(t *testing.T) {
			var out sharedBuffer
			l := newLogs(hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Warn}), nil, func(string) {})
			for range lineBurst + dropped {
				l.take(`{"@level":"debug","@message":"x"}`)
			}
			time.Sleep(saysDropped - time.Millisecond)
			synctest.Wait()
			if text := out.String(); text != "" {
				t.Errorf("%d dropped, too early: %s", dropped, text)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			want := fmt.Sprintf("lines were dropped: dropped=%d\n", dropped)
			if text := out.String(); !strings.HasSuffix(text, want) || strings.Count(text, "\n") != 1 {
				t.Errorf("log = %q, want once %q", text, want)
			}
		})
	}
}

func TestLastWordsAreThoseThatAnOperatorNeeds(t *testing.T) {
	for line, want := range map[string]string{
		"  plain words ": "plain words",
		`{"@level":"debug","@message":"for developers"}`:                  "",
		`{"@level":"trace","@message":"for developers"}`:                  "",
		`{"@level":"info","@message":"no disk"}`:                          "no disk",
		`{"@level":"error","@message":"no disk","b":2,"a":"x","@time":1}`: "no disk a=x b=2",
	} {
		if got := brief(line); got != want {
			t.Errorf("%s becomes %q, want %q", line, got, want)
		}
	}
}
