// Package testhost provides what black-box tests of a host need: the built binaries, and a port.
package testhost

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// packages are the programs that tests run, by the path that make build gives them in its bin/.
func packages() map[string]string {
	return map[string]string{
		"gatehost": "cmd/host", "gatehost-shim": "cmd/gatehost-shim", "gateway-emulator": "cmd/gateway-emulator",
		"plugins/launcher-utility":   "plugins/launcher-utility/cmd/launcher-utility",
		"plugins/launcher-launchd":   "plugins/launcher-launchd/cmd/launcher-launchd",
		"plugins/doctor":             "plugins/doctor/cmd/doctor",
		"plugins/doctor-environment": "examples/doctor-environment",
		"doctor-minimal":             "examples/doctor-minimal",
		"protocol-only":              "test/e2e/testdata/protocol-only",
		"bad-plugin":                 "test/e2e/testdata/bad-plugin",
		"doctor-versions":            "test/e2e/testdata/doctor-versions",
		"rules-plugin":               "test/e2e/testdata/rules-plugin",
		"verify-plugin":              "test/verify/testdata/plugin",
	}
}

// Main is the body of a TestMain: it sets bin to the directory of the binaries, runs the tests, and exits.
// GATEHOST_BIN names the directory; make sets it, so that the binaries are those that were built. Without it those
// of programs are built for this run, from a package two folders below the root.
func Main(m *testing.M, bin *string, programs ...string) {
	code, err := run(m, bin, programs)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code) //nolint:forbidigo // it is a test's main
}

func run(m *testing.M, bin *string, programs []string) (int, error) {
	if *bin = os.Getenv("GATEHOST_BIN"); *bin == "" {
		dir, err := os.MkdirTemp("", "gh-bin")
		if err != nil {
			return 1, err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		if err := build(dir, programs); err != nil {
			return 1, err
		}
		*bin = dir
	}
	return m.Run(), nil
}

func build(dir string, programs []string) error {
	known := packages()
	for _, name := range programs {
		pkg, ok := known[name]
		if !ok {
			return fmt.Errorf("cannot build %s: testhost does not know its package", name)
		}
		//nolint:noctx // bounded by the test's own limit
		if text, err := exec.Command("go", "build", "-o", filepath.Join(dir, name),
			"../../"+pkg).CombinedOutput(); err != nil {
			return fmt.Errorf("cannot build %s: %w\n%s", pkg, err, text)
		}
	}
	return nil
}

// FreePort returns a port that was free a moment ago.
func FreePort(tb testing.TB) int {
	tb.Helper()
	//nolint:noctx // it is over at once
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	at, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		tb.Fatalf("a TCP listener has the address %v", l.Addr())
	}
	return at.Port
}
