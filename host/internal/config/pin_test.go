package config_test

import (
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/config"
)

func TestPinChangesOneValue(t *testing.T) {
	old, sum := strings.Repeat("ab", 32), strings.Repeat("0123", 16)
	for _, row := range []struct{ name, before, after string }{
		{
			"a table without one",
			"version = 1 # one\n[plugins.mine] # my own\npath = \"/opt/mine\"\n[gateways.main]\ndoctors = [\"mine\"]\n",
			"version = 1 # one\n[plugins.mine] # my own\nsha256 = \"" + sum +
				"\"\npath = \"/opt/mine\"\n[gateways.main]\ndoctors = [\"mine\"]\n",
		},
		{
			"another value", "[plugins.mine]\npath = \"/opt/mine\"\n sha256 = '" + old + "' # of the day\n",
			"[plugins.mine]\npath = \"/opt/mine\"\n sha256 = \"" + sum + "\" # of the day\n",
		},
		{
			"a quoted name, Windows lines", "[plugins.\"mine\"]\r\npath = \"/opt/mine\"\r\n",
			"[plugins.\"mine\"]\r\nsha256 = \"" + sum + "\"\npath = \"/opt/mine\"\r\n",
		},
		{
			"the same name in a text",
			"[plugins.mine]\npath = \"/opt/mine\"\nargs = ['''\n[plugins.mine]\nsha256 = \"x\"\n''']\n",
			"[plugins.mine]\nsha256 = \"" + sum +
				"\"\npath = \"/opt/mine\"\nargs = ['''\n[plugins.mine]\nsha256 = \"x\"\n''']\n",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := config.Pin("config.toml", []byte(row.before), "mine", sum)
			if err != nil || string(got) != row.after {
				t.Errorf("got %q, %v\nwant %q", got, err, row.after)
			}
		})
	}
	got, err := config.Pin("config.toml", []byte("version = 1"), "doctor", sum)
	if err != nil || string(got) != "version = 1\n\n[plugins.doctor]\npath = \"doctor\"\nsha256 = \""+sum+"\"\n" {
		t.Errorf("a shipped plugin: %q, %v", got, err)
	}
}

func TestPinRefusesWhatItCannotEdit(t *testing.T) {
	sum := strings.Repeat("0123", 16)
	for name, text := range map[string]string{
		"an inline table": "[plugins]\nmine = {path = \"/opt/mine\"}\n",
		"dotted keys":     "plugins.mine.path = \"/opt/mine\"\n",
		"one that is set in an inline table": "[plugins]\nmine = {path = \"/opt/mine\", sha256 = \"" +
			strings.Repeat("ab", 32) + "\"}\n",
	} {
		if got, err := config.Pin("config.toml", []byte(text), "mine", sum); err == nil ||
			!strings.Contains(err.Error(), "sha256 = \""+sum) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := config.Pin("config.toml", []byte("version = 1\n"), "missing", sum); err == nil {
		t.Error("a plugin that is not there is pinned")
	}
	if _, err := config.Pin("config.toml", []byte("vers = 1\n"), "doctor", sum); err == nil {
		t.Error("a broken file is edited")
	}
}
