package plugin_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/shared/plugin"
)

func TestGrantOfACommandNamesItsWordsExactly(t *testing.T) {
	for _, g := range []string{
		"gateway-config", "gateway-files", "gateway-token", "command:--version", "command:plugins list --json",
		"command:config get gateway.port", "command:x --a=b,c",
	} {
		if err := plugin.CheckGrant(g); err != nil {
			t.Errorf("%q: %v", g, err)
		}
	}
	for _, g := range []string{"", "gateway", "command", "Command:doctor", "plugins list"} {
		if err := plugin.CheckGrant(g); !errors.Is(err, plugin.ErrUnknownGrant) {
			t.Errorf("%q: %v", g, err)
		}
	}
	for _, g := range []string{
		"command:", "command: ", "command:plugins  list", "command: plugins", "command:plugins ", "command:plugins *",
		"command:a\tb", "command:a\nb", "command:a\x00", "command:'a b'", `command:"a"`, "command:$HOME", "command:a;b",
		"command:a|b", "command:ä", "command:a\u200bb", "command:" + strings.Repeat("a", 300),
		"command:" + strings.Repeat("a ", 40) + "a",
	} {
		if err := plugin.CheckGrant(g); err == nil || errors.Is(err, plugin.ErrUnknownGrant) {
			t.Errorf("%q: %v", g, err)
		}
	}
}

func TestCommandsOfGrantsAreThoseThatAreValid(t *testing.T) {
	got := plugin.CommandsOf([]string{"gateway-config", "command:plugins list", "command:a  b", "command:"})
	if want := [][]string{{"plugins", "list"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("commands = %q, want %q", got, want)
	}
}
