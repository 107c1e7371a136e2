package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/gatehost/gatehost/host/internal/tomltext"
)

var pinned = regexp.MustCompile(`^(\s*sha256\s*=\s*)("[^"]*"|'[^']*')`)

// Pin writes a checksum into a plugin's table, in the text of a configuration file: everything else, including
// comments, stays as it is. A shipped plugin without a table gets one. When the text has a form that cannot be
// edited, the error says what to write by hand.
func Pin(name string, data []byte, plugin, sum string) ([]byte, error) {
	before, err := Parse(name, data)
	if err != nil {
		return nil, err
	}
	p := before.Plugins[plugin]
	if p == nil {
		return nil, fmt.Errorf("there is no plugin %q in %s", plugin, name)
	}
	line := fmt.Sprintf("sha256 = %q", sum)
	byHand := fmt.Errorf("cannot edit [plugins.%s] of %s: add this line to it: %s", plugin, name, line)
	lines := strings.SplitAfter(string(data), "\n")
	key := []string{"plugins", plugin}
	at, there := before.where[tomltext.Join(key)]
	has, pinnedBefore := before.where[tomltext.Join(under(key, "sha256"))]
	switch {
	case pinnedBefore:
		text := lines[has.Line-1]
		m := pinned.FindStringSubmatchIndex(text)
		if m == nil {
			return nil, byHand
		}
		lines[has.Line-1] = text[:m[4]] + fmt.Sprintf("%q", sum) + text[m[5]:]
	case !there:
		if last := len(lines) - 1; lines[last] != "" {
			lines[last] += "\n"
		}
		lines = append(lines, fmt.Sprintf("\n[plugins.%s]\npath = %q\n%s\n", plugin, shownPath(p.Path), line))
	case strings.HasPrefix(strings.TrimSpace(lines[at.Line-1]), "["):
		head := lines[at.Line-1]
		if !strings.HasSuffix(head, "\n") {
			head += "\n"
		}
		lines[at.Line-1] = head + line + "\n"
	default:
		return nil, byHand
	}
	text := []byte(strings.Join(lines, ""))
	// Parse the result: it must differ in this one value only.
	after, err := Parse(name, text)
	if err != nil || after.Plugins[plugin] == nil || after.Plugins[plugin].SHA256 != sum {
		return nil, byHand
	}
	p.SHA256 = sum
	want, err := before.TOML()
	if err != nil {
		return nil, err
	}
	if got, err := after.TOML(); err != nil || got != want {
		return nil, byHand
	}
	return text, nil
}

// shownPath returns a path as an operator would write it.
func shownPath(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.ToSlash(path)
}
