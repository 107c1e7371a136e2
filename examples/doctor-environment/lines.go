package main

import (
	"regexp"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/shared/plugin"
)

// maxLooked is how many bytes of a line are examined: the reason is at its beginning, and 120 lines may have 64 KiB
// each.
const maxLooked = 4 << 10

// maxQuoted is how many lines are shown with a finding.
const maxQuoted = 4

var (
	colour  = regexp.MustCompile("\x1b\\[[0-9;?]*[ -/]*[@-~]")
	dated   = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\S+ `)
	tagged  = regexp.MustCompile(`^\[([a-z][a-z0-9/_.:-]*)\] `)
	foreign = regexp.MustCompile(`^(?:\{|<\d>|\[[A-Z]+\]|level=)`) // a plugin's own log
	speech  = regexp.MustCompile(`(?i)\b(?:said|says|asked|asks|replied|answered|tool call|tool result|prompt)\b`)
	// dying are the undated words of a process that ends: Node's, V8's, the loader's, a shell's. Agents print undated
	// lines, too.
	dying = regexp.MustCompile(
		`^(?:(?:Uncaught )?Error: |E[A-Z]{3,}: |FATAL ERROR: |Gateway failed to start: |openclaw: |dyld\[|Killed$|<--- |- ` +
			`pid \d+ )`)
)

// ownTags are the subsystems in which the gateway speaks of itself; agents and tools quote anything.
var ownTags = []string{
	"gateway", "config", "startup", "migration", "migrations", "state", "doctor", "cli", "openclaw",
	"entry", "lifecycle", "shutdown",
}

// speakers are the subsystems that show what people, models and tools say.
var speakers = []string{"agent", "agents", "chat", "session", "sessions", "tool", "tools", "exec", "ws"}

// wordsOf returns the lines in which the gateway speaks of itself, and those in which any of its parts speaks, without
// colour, time and tag.
func wordsOf(lines []plugin.Line) (itself, parts []string) {
	starting := true
	for _, l := range lines {
		text := strings.TrimSpace(colour.ReplaceAllString(l.Text[:min(len(l.Text), maxLooked)], ""))
		rest := dated.ReplaceAllString(text, "")
		tag := ""
		if m := tagged.FindStringSubmatch(rest); m != nil {
			tag, rest = m[1], rest[len(m[0]):]
		}
		if tag == "gateway" && (rest == "ready" || strings.HasPrefix(rest, "listening on ws://")) {
			starting = false
		}
		own := false
		switch {
		case rest == "" || foreign.MatchString(rest):
		case tag != "":
			first, _, _ := strings.Cut(tag, "/")
			own = slices.Contains(ownTags, first)
			if !slices.Contains(speakers, first) {
				parts = append(parts, rest)
			}
		default:
			own = starting || rest != text || l.Stream != plugin.Stdout && dying.MatchString(rest)
		}
		if own {
			itself = append(itself, rest)
		}
	}
	return itself, parts
}

// cut bounds a line for a finding.
func cut(s string) string {
	const most = 400
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
