//go:build linux

package chaos_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/gatehost/gatehost/internal/testhost"
)

var bin string // the built binaries; set once by TestMain

func TestMain(m *testing.M) {
	testhost.Main(m, &bin, "gatehost", "gatehost-shim", "gateway-emulator", "plugins/launcher-utility", "plugins/doctor")
}

// settings are what the environment asks for.
type settings struct {
	seed     uint64
	duration time.Duration
	report   string
	openclaw bool
}

func settingsOf(t *testing.T) settings {
	t.Helper()
	s := settings{
		seed: rand.Uint64() >> 32, duration: time.Minute, report: os.Getenv("CHAOS_REPORT"),
		openclaw: os.Getenv("GATEHOST_OPENCLAW") != "",
	}
	var err error
	if text := os.Getenv("CHAOS_SEED"); text != "" {
		if s.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("CHAOS_SEED: %v", err)
		}
	}
	if text := os.Getenv("CHAOS_DURATION"); text != "" {
		if s.duration, err = time.ParseDuration(text); err != nil {
			t.Fatalf("CHAOS_DURATION: %v", err)
		}
	}
	return s
}
