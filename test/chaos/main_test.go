//go:build linux

package chaos_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

var bin string // the built binaries; set once by TestMain

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	bin = os.Getenv("GATEHOST_BIN") // set by make, so that the binaries are those that were built
	if bin == "" {
		dir, err := os.MkdirTemp("", "gh-bin")
		if err != nil {
			return 1, err
		}
		defer os.RemoveAll(dir)
		for out, pkg := range map[string]string{
			"gatehost": "cmd/host", "gatehost-shim": "cmd/gatehost-shim", "gateway-emulator": "cmd/gateway-emulator",
			"plugins/launcher-utility": "plugins/launcher-utility/cmd/launcher-utility",
			"plugins/doctor":           "plugins/doctor/cmd/doctor",
		} {
			cmd := exec.Command("go", "build", "-o", filepath.Join(dir, out), "../../"+pkg)
			if text, err := cmd.CombinedOutput(); err != nil {
				return 1, fmt.Errorf("cannot build %s: %w\n%s", pkg, err, text)
			}
		}
		bin = dir
	}
	return m.Run(), nil
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
	s := settings{seed: rand.Uint64() >> 32, duration: time.Minute, report: os.Getenv("CHAOS_REPORT"), openclaw: os.Getenv("GATEHOST_OPENCLAW") != ""}
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
