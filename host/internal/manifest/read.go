package manifest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/gatehost/gatehost/host/internal/tomltext"
	"github.com/gatehost/gatehost/shared/plugin"
)

// The words that keys may have.
var (
	kinds      = []string{"launcher", "unloader", "doctor", "classifier"}
	transports = []string{"auto_mtls", "socket"}
)

// Limits of the elements of a list and the bytes of a text.
const (
	maxList = 256
	maxText = 4096
)

var (
	pluginName    = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	pluginVersion = regexp.MustCompile(`^\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?$`)
)

// reader takes values out of what the toml package parsed and collects what does not fit.
type reader struct {
	m      *Manifest
	toSeal bool // see parse
	faults tomltext.Faults
}

func (r *reader) fault(key []string, hint, format string, args ...any) {
	r.faults = append(r.faults, r.m.where.Fault(r.m.file, key, fmt.Sprintf(format, args...), hint))
}

func (r *reader) read(raw map[string]any) {
	r.known(nil, raw, "manifest", "name", "version", "kinds", "run", "transport", "wants", "sandbox", "files")
	if v, ok := raw["manifest"]; !ok {
		r.fault([]string{"manifest"}, "write manifest = 1", "is missing: it says which format this is")
	} else if v != int64(Version) {
		r.fault([]string{"manifest"}, "write manifest = 1", "is not a format that this host supports")
	}
	m := r.m
	m.Plugin = r.text(raw, "name", true)
	if m.Plugin != "" && !pluginName.MatchString(m.Plugin) {
		r.fault([]string{"name"}, "use a-z, 0-9, _ and -, at most 64, beginning with a letter or digit",
			"%q is not a usable name", m.Plugin)
	}
	m.Version = r.text(raw, "version", true)
	if m.Version != "" && !pluginVersion.MatchString(m.Version) {
		r.fault([]string{"version"}, `write three numbers, such as "0.1.0"`, "%q is not a version", m.Version)
	}
	m.Kinds = r.words(raw, []string{"kinds"}, kinds)
	if _, given := raw["kinds"]; !given || len(m.Kinds) == 0 && !r.faults.At([]string{"kinds"}) {
		r.fault([]string{"kinds"}, `write what it serves as, such as ["doctor"]`, "is missing or empty")
	}
	if m.Transport = r.text(raw, "transport", false); m.Transport != "" {
		r.oneOf([]string{"transport"}, m.Transport, transports)
	}
	if m.Transport == "socket" && (slices.Contains(m.Kinds, "launcher") || slices.Contains(m.Kinds, "unloader")) {
		r.fault([]string{"transport"}, `write "auto_mtls", which the Go SDK speaks, or serve only as doctor or classifier`,
			`a launcher or an unloader is called by "auto_mtls" only`)
	}
	wants := r.table(raw, "wants")
	r.known([]string{"wants"}, wants, "grants")
	m.Grants = r.grants(wants)
	box := r.table(raw, "sandbox")
	r.known([]string{"sandbox"}, box, "read", "write", "network")
	m.Read, m.Write = r.places(box, "read"), r.places(box, "write")
	m.Network = r.yes(box, []string{"sandbox", "network"})
	r.files(r.table(raw, "files"))
	r.run(raw)
}

// known reports unknown keys: one of them may have been meant to forbid something.
func (r *reader) known(key []string, table map[string]any, names ...string) {
	for _, name := range slices.Sorted(maps.Keys(table)) {
		if !slices.Contains(names, name) {
			r.fault(append(slices.Clip(key), name), tomltext.DidYouMean(name, names), "unknown key")
		}
	}
}

func (r *reader) wrong(key []string, want string, raw any) {
	r.fault(key, "", "expected %s, got %s", want, tomltext.TypeName(raw))
}

func (r *reader) text(table map[string]any, name string, required bool) string {
	raw, given := table[name]
	s, ok := raw.(string)
	key := []string{name}
	switch {
	case !given && required:
		r.fault(key, "", "is missing")
	case given && !ok:
		r.wrong(key, "a string", raw)
	case given && s == "":
		r.fault(key, "", "must not be empty")
	case given && !r.printable(key, s):
		return ""
	}
	return s
}

// printable rejects what could not be shown to an operator, or passed to a program.
func (r *reader) printable(key []string, s string) bool {
	switch {
	case len(s) > maxText:
		r.fault(key, "", "longer than %d bytes", maxText)
	case strings.ContainsFunc(s, unicode.IsControl):
		r.fault(key, "", "must not hold control characters")
	default:
		return true
	}
	return false
}

func (r *reader) table(raw map[string]any, name string) map[string]any {
	v, given := raw[name]
	t, ok := v.(map[string]any)
	if given && !ok {
		r.wrong([]string{name}, "a table", v)
	}
	return t
}

func (r *reader) yes(table map[string]any, key []string) bool {
	raw, given := table[key[len(key)-1]]
	b, ok := raw.(bool)
	if given && !ok {
		r.wrong(key, "true or false", raw)
	}
	return b
}

// list reads a list of strings; it rejects duplicates, unless twice is allowed.
func (r *reader) list(table map[string]any, key []string, twice bool) []string {
	raw, given := table[key[len(key)-1]]
	items, ok := raw.([]any)
	switch {
	case !given:
		return nil
	case !ok:
		r.wrong(key, "an array of strings", raw)
		return nil
	case len(items) > maxList:
		r.fault(key, "", "has more than %d elements", maxList)
		return nil
	}
	var out []string
	for i, e := range items {
		at := append(slices.Clip(key), strconv.Itoa(i))
		s, ok := e.(string)
		switch {
		case !ok:
			r.wrong(at, "a string", e)
		case !twice && slices.Contains(out, s):
			r.fault(at, "", "%q is listed twice", s)
		case r.printable(at, s):
			out = append(out, s)
		}
	}
	return out
}

func (r *reader) words(table map[string]any, key, known []string) []string {
	out := r.list(table, key, false)
	for i, w := range out {
		r.oneOf(append(slices.Clip(key), strconv.Itoa(i)), w, known)
	}
	return out
}

// grants reads what the plugin asks for: the same words that an operator writes.
func (r *reader) grants(wants map[string]any) []string {
	key := []string{"wants", "grants"}
	out := r.list(wants, key, false)
	for i, g := range out {
		at := append(slices.Clip(key), strconv.Itoa(i))
		err := plugin.CheckGrant(g)
		switch {
		case errors.Is(err, plugin.ErrUnknownGrant):
			r.fault(at, tomltext.DidYouMean(g, plugin.Grants()), "%q is none of %s, %sWORDS", g,
				strings.Join(plugin.Grants(), ", "), plugin.GrantCommand)
		case err != nil:
			r.fault(at, "", "%v", err)
		}
	}
	return out
}

func (r *reader) oneOf(key []string, word string, known []string) {
	if !slices.Contains(known, word) {
		r.fault(key, tomltext.DidYouMean(word, known), "%q is none of %s", word, strings.Join(known, ", "))
	}
}

// places reads absolute paths: it is not clear what a relative one would refer to.
func (r *reader) places(table map[string]any, name string) []string {
	key := []string{"sandbox", name}
	out := r.list(table, key, false)
	for i, p := range out {
		if !absolute(p) || path.Clean(filepath.ToSlash(p)) != filepath.ToSlash(p) || p == "/" {
			r.fault(append(slices.Clip(key), strconv.Itoa(i)), "write the whole path of a file or a directory",
				"%q is not an absolute path", p)
		}
	}
	return out
}

func absolute(p string) bool { return path.IsAbs(p) || filepath.IsAbs(p) }

// run checks the words of the command: an interpreter is named by its absolute path, so that no search path decides
// what it is, and all other files are in the directory.
func (r *reader) run(raw map[string]any) {
	m, key := r.m, []string{"run"}
	words := r.list(raw, key, true)
	if m.Run = words; len(words) == 0 {
		if !r.faults.At(key) {
			r.fault(key, `write ["./my-plugin"], or an interpreter and its file: ["/usr/bin/node", "./main.js"]`,
				"is missing or empty")
		}
		return
	}
	own := 0
	for i, word := range words {
		at := append(slices.Clip(key), strconv.Itoa(i))
		name, isOwn := inside(word)
		switch {
		case isOwn && !local(name):
			r.fault(at, "write ./ and its name inside the plugin's directory",
				"%q is not a file inside the plugin's directory", word)
		case isOwn && !r.toSeal && len(m.Files) > 0 && !m.covered(name):
			r.fault(at, "run `gatehost plugin seal` on the directory", "%q is not in [files]", word)
		case isOwn:
			own++
		case i == 0 && !absolute(word):
			name := `"./` + path.Base(filepath.ToSlash(word)) + `"`
			r.fault(at, `write `+name+` for a file of the directory, or the absolute path of an interpreter`,
				"%q is neither a file of the plugin's directory nor an absolute path", word)
		case i == 0 && path.Base(filepath.ToSlash(word)) == "env":
			r.fault(at, "name the interpreter itself", "%q: a search path would decide which program runs", word)
		case i > 0 && absolute(word):
			r.fault(at, "put the file into the plugin's directory",
				"%q is outside the plugin's directory: the host could not check it", word)
		case i > 0 && slices.Contains(strings.Split(filepath.ToSlash(word), "/"), ".."):
			r.fault(at, "put the file into the plugin's directory", "%q leaves the plugin's directory", word)
		}
	}
	if own == 0 && !r.faults.At(key) {
		r.fault(key, `name it with ./, such as "./main.js"`, "does not name a file of the plugin's directory")
	}
}

// local reports whether a slash-separated name is inside a directory, written in its one normal form.
func local(name string) bool {
	return name != "" && name != "." && path.Clean(name) == name && filepath.IsLocal(filepath.FromSlash(name)) &&
		!strings.ContainsAny(name, "\\\x00")
}

func (r *reader) files(table map[string]any) {
	r.m.Files = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		key := []string{"files", name}
		sum, ok := table[name].(string)
		digits := strings.TrimPrefix(sum, treePrefix)
		raw, err := hex.DecodeString(digits)
		switch {
		case !local(name), strings.ContainsFunc(name, unicode.IsControl), len(name) > maxText:
			r.fault(key, `write names inside it, with /, without ./ and ..`,
				"is not a name inside the plugin's directory")
		case name == Name:
			r.fault(key, "remove it: the pin in config.toml is its sum", "a manifest cannot hold its own sum")
		case !ok:
			r.wrong(key, "a string", table[name])
		case !r.toSeal && (err != nil || len(raw) != 32 || strings.ToLower(digits) != digits):
			r.fault(key, "run `gatehost plugin seal` on the directory", "is not 64 lower-case hexadecimal digits")
		default:
			r.m.Files[name] = sum
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.m.Files)) {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, twice := r.m.Files[dir]; twice {
				r.fault([]string{"files", name}, "remove one of them", "is in %q, which is also listed", dir)
			}
		}
	}
}
