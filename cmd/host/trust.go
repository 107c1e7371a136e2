package main

import (
	"fmt"
	"strings"

	"github.com/gatehost/gatehost/shared/control"
)

// trustText says what a plugin is, what it asks for, what it was given and what it tried; each line begins with a
// newline.
func trustText(p control.Plugin) string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, clean(fmt.Sprintf(format, args...))) }
	if m := p.Manifest; m != nil {
		add("manifest: %s %s serves as %s, runs %s", m.Name, m.Version, strings.Join(m.Kinds, ", "),
			strings.Join(m.Run, " "))
		add("  %d entries of [files], sha256 of the manifest %s", m.Files, m.SHA256)
	}
	if pin := p.Pin; pin != nil {
		switch pin.State {
		case control.PinHolds:
			add("pin: pinned to %s", pin.SHA256)
		case control.PinMismatch:
			add("pin: does not match: config.toml has %s, found %s", pin.SHA256, pin.Found)
		default:
			add("pin: not pinned: any file at its path is run (`gatehost plugin pin %s`)", p.Name)
		}
	}
	if len(p.Asks) == 0 {
		add("asks for: nothing")
	} else {
		add("asks for:")
	}
	for _, ask := range p.Asks {
		what := strings.TrimSpace(ask.What + " " + ask.Value)
		switch {
		case ask.Asked && ask.Given:
			add("  %s: given", what)
		case ask.Asked:
			add("  %s: not given (%s)", what, ask.Key)
		default:
			add("  %s: given, although it does not ask for it (%s)", what, ask.Key)
		}
	}
	for _, r := range p.Refused {
		add("refused: %s, times noticed: %d, last at %s (%s)", r.What, r.Times,
			r.Last.Format("2006-01-02T15:04:05Z07:00"), r.Key)
	}
	text := ""
	if len(lines) > 0 {
		text = "\n" + strings.Join(lines, "\n")
	}
	return text
}
