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

// Refusal is something outside of its sandbox that a plugin reached for and did not get.
type Refusal struct {
	What  string // a path, "network ADDRESS", or the plugin's own words
	Key   string // of config.toml, by which it would be given
	Times int    // that it was noticed
	Last  time.Time
}

// maxRefusals are remembered of one plugin: one that tries all paths must not fill the memory. The half of them is for what libraries do.
const maxRefusals = 32

// refusals are those of one plugin, over all its processes. Safe for concurrent use.
type refusals struct {
	mu    sync.Mutex // guards all below
	all   []Refusal
	usual int // that libraries do
	full  bool
}

// add reports whether it is a new one, and whether it is the first for which there is no room.
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

// denied are the words by which programs say that the kernel refused them something: Go, Node, Python, C.
var denied = []string{"permission denied", "eacces", "operation not permitted", "eperm"}

func saysDenied(text string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(denied, func(word string) bool { return strings.Contains(text, word) })
}

var (
	// quotedPath and barePath find what Node and Python, and what Go and C put beside such words.
	quotedPath = regexp.MustCompile(`['"](/[^'"]+)['"]`)
	barePath   = regexp.MustCompile(`(?:^|[\s=(])(/[^\s:,;()'"]+)`)
	aboutTCP   = regexp.MustCompile(`(?i)\b(connect|dial|bind|listen)\b`)
	endpoint   = regexp.MustCompile(`\[?[0-9A-Za-z_.:-]*\]?:\d{1,5}\b`)
)

// reached is what a text about a refusal is about, and the key by which it would be given. The key of the whole sandbox stands for what
// cannot be told, or not be given.
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

// reachedFile tells by what the plugin may read already whether it was refused to read or to write.
func reachedFile(spec *Spec, path string) (what, key string, known bool) {
	table := "plugins." + spec.Name + ".sandbox"
	read, _ := sandbox.System()
	if sandbox.Inside(path, read) || sandbox.Inside(path, spec.Sandbox.Read) {
		return path, table + ".write", true
	}
	return path, table + ".read", true
}

// boundary looks at the error of a call to a plugin that is shut in: what reads like a refusal is told to the operator, who alone can
// say whether the plugin should have asked.
func (s *supervisor) boundary(m method, err error) error {
	if err == nil || s.spec().Sandbox == nil || fault.CodeOf(err) != fault.PermissionDenied && !saysDenied(err.Error()) {
		return err
	}
	what, key, _ := reached(s.spec(), err.Error())
	hint := s.grantHint(key)
	s.note(false, "plugin was refused something outside of its sandbox", what, key, hint, "call", m.name, "error", err)
	return &fault.Error{Code: fault.PermissionDenied, Hint: hint, Cause: err}
}

// heard takes a file that the plugin was about to open, or an address, and that the kernel does not let it have: whatever the plugin makes of that.
func (s *supervisor) heard(spec *Spec, exe *executable, r sandbox.Access) {
	if m := exe.manifest; m != nil && !r.Write && sandbox.Inside(r.Path, []string{m.Dir}) {
		hint := fmt.Sprintf("if it belongs to the plugin run `gatehost plugin seal %s`, then `gatehost plugin restart %s`", exe.path, s.name)
		cache := strings.Contains(r.Path, "/__pycache__/") // Python looks for one, and lives without
		s.note(cache, "plugin was refused a file of its own directory that its manifest does not list", r.Path, "[files] of "+manifest.Name, hint)
		return
	}
	key := "plugins." + spec.Name + ".sandbox.read"
	if r.Address != "" {
		key = "plugins." + spec.Name + ".sandbox.network"
		s.note(false, "plugin was refused a connection", "network "+r.Address, key, s.grantHint(key))
		return
	}
	if r.Write {
		key = "plugins." + spec.Name + ".sandbox.write"
	}
	// Libraries look around there and live without.
	usual := sandbox.Inside(r.Path, []string{"/dev", "/etc", "/proc", "/run", "/sys", "/var"}) && !r.Write
	s.note(usual, "plugin was refused a file outside of its sandbox", r.Path, key, s.grantHint(key), "write", r.Write)
}

// grantHint is what an operator can do who agrees.
func (s *supervisor) grantHint(key string) string {
	return fmt.Sprintf("the plugin is shut in; if it may have that, name it in %s, then run `gatehost plugin restart %s`", key, s.name)
}

// note remembers a refusal and logs it the first time, at debug what is usual.
func (s *supervisor) note(usual bool, message, what, key, hint string, fields ...any) {
	level := hclog.Warn
	if usual {
		level = hclog.Debug
	}
	switch fresh, full := s.refused.add(what, key, usual); {
	case fresh:
		s.log.Log(level, message, append([]any{"plugin", s.name, "what", what, "key", key, "hint", hint}, fields...)...)
	case full:
		s.log.Warn("plugin reaches for ever more outside of its sandbox; what follows is not noted", "plugin", s.name, "what", what)
	}
}

// overheard looks at a line of the log of a plugin that is shut in: one that swallows the error may still write it down, and a program that
// can't begin says so there only. A line that names nothing outside of the sandbox is left alone: doctors tell of others' refusals, too.
func (s *supervisor) overheard(spec *Spec, line string) {
	if spec.Sandbox == nil || !saysDenied(line) {
		return
	}
	if what, key, known := reached(spec, line); known {
		s.note(false, "plugin says that it was refused something; its sandbox may be why", what, key, s.grantHint(key), "line", line)
	}
}

// shutOut is the advice for a plugin that ended before it began and whose last lines tell of a refusal; "" for others.
func shutOut(spec *Spec, lines []string) string {
	if spec.Sandbox == nil {
		return ""
	}
	for _, line := range lines {
		if saysDenied(line) {
			what, key, _ := reached(spec, line)
			return fmt.Sprintf("it was refused %s; if it may have that, name it in %s", what, key)
		}
	}
	return ""
}
