package e2e_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestUnreadableConfigIsNamed runs as an ordinary user: root may read anything.
func TestUnreadableConfigIsNamed(t *testing.T) {
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) { // a temporary directory is closed to others
		if err := os.Chmod(d, 0o755); err != nil { //nolint:gosec // the other user has to get there
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join(bin, "gatehost"))
	if err != nil {
		t.Fatal(err)
	}
	program, config := filepath.Join(dir, "gatehost"), filepath.Join(dir, "config.toml")
	if err := os.WriteFile(program, data, 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte("version = 1\n"), 0o000); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "run", "--config", config)
	cmd.Env, cmd.Dir = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}, dir
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != 78 || !strings.Contains(out.String(), config) ||
		!strings.Contains(out.String(), "permission denied") {
		t.Errorf("exit %d, want 78 and the path\n%s", code, out.String())
	}
}
