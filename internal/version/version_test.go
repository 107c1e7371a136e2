package version_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/internal/version"
)

var semver = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)

func TestVersionIsSemanticWithoutALeadingV(t *testing.T) {
	if v := version.Version(); !semver.MatchString(v) {
		t.Errorf("Version() = %q", v)
	}
}

// TestLinkerStampsTheVersion builds the host as the Makefile does: a renamed variable would be ignored by the linker
// in silence.
func TestLinkerStampsTheVersion(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "gatehost")
	const flags = "-X github.com/gatehost/gatehost/internal/version.stamped=1.2.3-stamped"
	if out, err := exec.Command("go", "build", "-ldflags", flags, "-o", bin,
		"../../cmd/host").CombinedOutput(); err != nil {
		t.Fatalf("cannot build the host: %v\n%s", err, out)
	}
	out, err := exec.Command(bin, "version").CombinedOutput()
	if err != nil {
		t.Fatalf("gatehost version: %v\n%s", err, out)
	}
	if !strings.Contains(string(out), "1.2.3-stamped") {
		t.Errorf("gatehost version prints %q, want the stamped version", out)
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(makefile), "internal/version.stamped=") {
		t.Error("the Makefile stamps another variable")
	}
}
