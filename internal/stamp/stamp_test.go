package stamp_test

import (
	"testing"

	"github.com/gatehost/gatehost/internal/stamp"
)

func TestTrimRemovesTheTimeThatALineBeginsWith(t *testing.T) {
	for line, want := range map[string]string{
		"2026-12-01T04:42:18.479Z [gateway] ready":             "[gateway] ready",
		"2026-12-01T04:42:18.479+01:00 [gateway] ready":        "[gateway] ready",
		"2026-12-01 04:42:18,479 INFO ready":                   "INFO ready",
		"2026/12/01 04:42:18 ready":                            "ready",
		"[2026-12-01T04:42:18Z] ready":                         "ready",
		"[04:42:18] ready":                                     "ready",
		"04:42:18.479 ready":                                   "ready",
		"2026-12-01 is a day":                                  "2026-12-01 is a day",
		"12:30 is a time without seconds":                      "12:30 is a time without seconds",
		"ready since 2026-12-01T04:42:18Z":                     "ready since 2026-12-01T04:42:18Z",
		"2026-12-01T04:42:18Z":                                 "2026-12-01T04:42:18Z",
		"2026-12-01T04:42:18Z ":                                "2026-12-01T04:42:18Z ",
		"":                                                     "",
		"127.0.0.1:18789 listens":                              "127.0.0.1:18789 listens",
		"04:42:18.479 2026-12-01T04:42:18.479Z two of its own": "2026-12-01T04:42:18.479Z two of its own",
	} {
		if got := stamp.Trim(line); got != want {
			t.Errorf("Trim(%q) = %q, want %q", line, got, want)
		}
	}
}
