package pluginhost

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/shared/fault"
)

// Refusal is something outside of its sandbox that a plugin tried to use and was refused.
type Refusal struct {
	What  string // a path, "network ADDRESS", or the plugin's own words
	Key   string // of config.toml, which would give it
	Times int    // how often it was noticed
	Last  time.Time
}

// maxRefusals are kept of one plugin: a plugin that tries all paths must not fill the memory. Half of them are for what
// libraries look for.
const maxRefusals = 32

// refusals are those of one plugin, over all its processes. Safe for concurrent use.
type refusals struct {
	mu    sync.Mutex // guards all below
	all   []Refusal
	usual int // of these, what libraries look for
	full  bool
}

// add reports whether the refusal is new, and whether it is the first for which there is no room.
func (r *refusals) add(what, key string, usual bool) (fresh, full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.all {
		if r.all[i].What == what {
			r.all[i].Times++
			r.all[i].Last = time.Now()
			return false, false
		}
	}
	switch {
	case usual && r.usual == maxRefusals/2:
		return false, false
	case usual:
		r.usual++
	case len(r.all)-r.usual == maxRefusals/2:
		full, r.full = !r.full, true
		return false, full
	}
	r.all = append(r.all, Refusal{What: what, Key: key, Times: 1, Last: time.Now()})
	return true, false
}

func (r *refusals) list() []Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// denied are the words by which programs in Go, Node, Python and C say that the kernel refused them something.
var denied = []string{"permission denied", "eacces", "operation not permitted", "eperm"}

func saysDenied(text string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(denied, func(word string) bool { return strings.Contains(text, word) })
}

var (
	// quotedPath and barePath find the path that Node and Python, and Go and C, write beside such words.
	quotedPath = regexp.MustCompile(`['"](/[^'"]+)['"]`)
	barePath   = regexp.MustCompile(`(?:^|[\s=(])(/[^\s:,;()'"]+)`)
	aboutTCP   = regexp.MustCompile(`(?i)\b(connect|dial|bind|listen)\b`)
	endpoint   = regexp.MustCompile(`\[?[0-9A-Za-z_.:-]*\]?:\d{1,5}\b`)
)

// reached returns what a text about a refusal is about, and the key that would give it. The key of the whole sandbox is
// used when that is not known, or cannot be given.
func reached(spec *Spec, text string) (what, key string, known bool) {
	table := "plugins." + spec.Name + ".sandbox"
	if aboutTCP.MatchString(text) {
		return strings.TrimSpace("network " + endpoint.FindString(text)), table + ".network", true
	}
	for _, find := range []*regexp.Regexp{quotedPath, barePath} {
		if m := find.FindStringSubmatch(text); m != nil {
			return reachedFile(spec, filepath.Clean(m[1]))
		}
	}
	return text[:min(len(text), 200)], table, false
}

// reachedFile decides, by what the plugin may read already, whether it was refused to read or to write.
func reachedFile(spec *Spec, path string) (what, key string, known bool) {
	table := "plugins." + spec.Name + ".sandbox"
	read, _ := sandbox.System()
	if sandbox.Inside(path, read) || sandbox.Inside(path, spec.Sandbox.Read) {
		return path, table + ".write", true
	}
	return path, table + ".read", true
}

// refusedCall examines the error of a call to a sandboxed plugin: an error that looks like a refusal by the sandbox
// gets a hint for the operator, who alone can say whether the plugin should have that access.
func (s *supervisor) refusedCall(m method, err error) error {
	if err == nil || s.spec().Sandbox == nil || fault.CodeOf(err) != fault.PermissionDenied &&
		!saysDenied(err.Error()) {
		return err
	}
	what, key, _ := reached(s.spec(), err.Error())
	hint := s.grantHint(key)
	s.note(false, "plugin was refused something outside of its sandbox", what, key, hint, "call", m.name, "error", err)
	return &fault.Error{Code: fault.PermissionDenied, Hint: hint, Cause: err}
}

// onReach handles a file that the plugin was about to open, or a socket that it was about to make, and that its sandbox
// refuses. The plugin need not report it.
func (s *supervisor) onReach(spec *Spec, exe *executable, r sandbox.Access) {
	if m := exe.manifest; m != nil && !r.Write && sandbox.Inside(r.Path, []string{m.Dir}) {
		hint := fmt.Sprintf(
			"if it belongs to the plugin run `gatehost plugin seal %s`, then `gatehost plugin restart %s`", exe.path,
			s.name)
		cache := strings.Contains(r.Path, "/__pycache__/") // Python looks for one, and works without
		s.note(cache, "plugin was refused a file of its own directory that its manifest does not list", r.Path,
			"[files] of "+manifest.Name, hint)
		return
	}
	key := "plugins." + spec.Name + ".sandbox.read"
	if r.Socket != "" {
		key = "plugins." + spec.Name + ".sandbox.network"
		s.note(false, "plugin was refused a socket", "network "+r.Socket, key, s.grantHint(key))
		return
	}
	if r.Write {
		key = "plugins." + spec.Name + ".sandbox.write"
	}
	// Libraries look for files there and work without.
	usual := sandbox.Inside(r.Path, []string{"/dev", "/etc", "/proc", "/run", "/sys", "/var"}) && !r.Write
	s.note(usual, "plugin was refused a file outside of its sandbox", r.Path, key, s.grantHint(key), "write", r.Write)
}

// grantHint says how an operator gives the access.
func (s *supervisor) grantHint(key string) string {
	return fmt.Sprintf("the plugin is sandboxed; to allow this, add it to %s, then run `gatehost plugin restart %s`",
		key, s.name)
}

// note remembers a refusal and logs it the first time; what libraries look for is logged at debug.
func (s *supervisor) note(usual bool, message, what, key, hint string, fields ...any) {
	level := hclog.Warn
	if usual {
		level = hclog.Debug
	}
	switch fresh, full := s.refused.add(what, key, usual); {
	case fresh:
		s.log.Log(level, message, append([]any{"plugin", s.name, "what", what, "key", key, "hint", hint}, fields...)...)
	case full:
		s.log.Warn("plugin tries to use more and more outside of its sandbox; further refusals are not logged",
			"plugin", s.name, "what", what)
	}
}

// onLogLine examines a line of the log of a sandboxed plugin: a plugin that swallows the error may still log it, and a
// program that cannot begin says so only there. A line that names nothing outside of the sandbox is ignored, because
// doctors report the refusals of others, too.
func (s *supervisor) onLogLine(spec *Spec, line string) {
	if spec.Sandbox == nil || !saysDenied(line) {
		return
	}
	if what, key, known := reached(spec, line); known {
		s.note(false, "plugin says that it was refused something; its sandbox may be the reason", what, key,
			s.grantHint(key), "line", line)
	}
}

// sandboxAdvice returns advice for a plugin that ended before its handshake and whose last lines mention a refusal; ""
// for others.
func sandboxAdvice(spec *Spec, lines []string) string {
	if spec.Sandbox == nil {
		return ""
	}
	for _, line := range lines {
		if saysDenied(line) {
			what, key, _ := reached(spec, line)
			return fmt.Sprintf("it was refused %s; to allow this, add it to %s", what, key)
		}
	}
	return ""
}
