package pluginhost

import (
	"strings"
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
