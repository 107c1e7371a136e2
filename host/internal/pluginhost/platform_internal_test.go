package pluginhost

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProgramOfAnotherPlatformIsNamed: by the header of its file.
func TestProgramOfAnotherPlatformIsNamed(t *testing.T) {
	elfOf := func(order byte, machine ...byte) string {
		head := append([]byte("\x7fELF"), 2, order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0)
		return string(append(head, machine...)) + strings.Repeat("\x00", 44)
	}
	for _, row := range []struct{ name, head, want string }{
		{"arm64", elfOf(1, 183, 0), "an ELF program for aarch64"},
		{"s390x, whose numbers begin with the high byte", elfOf(2, 0, 22), "an ELF program for s390"},
		{"windows", "MZ" + strings.Repeat("\x00", 60), "a program for Windows"},
		{"macOS", "\xcf\xfa\xed\xfe" + strings.Repeat("\x00", 60), "a program for macOS"},
		{"macOS on several machines", "\xca\xfe\xba\xbe" + strings.Repeat("\x00", 60), "a program for macOS"},
		{"a text", strings.Repeat("words ", 10), ""},
		{"a short file", "MZ", ""},
		{"an empty file", "", ""},
	} {
		path := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(path, []byte(row.head), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := foreign(f); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
		if got := wrongPlatform(f); strings.HasSuffix(got, ", but "+row.want) != (row.want != "") ||
			strings.Contains(got, ", but") != (row.want != "") {
			t.Errorf("%s: %q", row.name, got)
		}
		_ = f.Close()
	}
}
