package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/config"
)

func TestTableOfAPluginComesFromAFileOfItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "table.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("level = 3\n[deep.er]\nwhen = 2026-05-27\n")
	got, err := config.Table(path)
	if err != nil || string(got) != `{"deep":{"er":{"when":"2026-05-27"}},"level":3}` {
		t.Errorf("table = %s, %v", got, err)
	}
	for text, want := range map[string]string{"level = \n": ":1", "x = nan\n": ":1", "\xff": "UTF-8"} {
		write(text)
		if got, err := config.Table(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q = %s, %v, want an error with %q", text, got, err, want)
		}
	}
	if _, err := config.Table(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there is read")
	}
}
