package manifest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/host/internal/tomltext"
	"github.com/gatehost/gatehost/internal/atomicfile"
)

// Sealed is what Seal has written.
type Sealed struct {
	Path    string   `json:"path"`   // of the manifest
	SHA256  string   `json:"sha256"` // of its new text: what a pin holds
	Entries []Entry  `json:"files"`
	Gone    []string `json:"gone"` // entries that were removed because the file no longer exists
}

// Entry is one line of [files].
type Entry struct {
	Name   string `json:"name"`
	Sum    string `json:"sum"`
	Before string `json:"before,omitempty"` // "" for a new one
}

// Seal computes the sums of all files that the plugin of a directory runs from and writes them into its manifest;
// everything else there, including comments, stays as it is. Listed files stay listed as long as they exist; Seal
// adds the files of run and, when an interpreter runs the plugin, everything in the directory except names that
// begin with a dot and __pycache__: the plugin could load any of it. Seal writes nothing when the manifest is
// faulty, a file is missing, another user may write to one, or [files] has a form that cannot be edited.
func Seal(ctx context.Context, dir string) (Sealed, error) {
	abs, err := filepath.Abs(dir)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return Sealed{}, fmt.Errorf("cannot seal: %w", err)
	}
	before, err := text(abs)
	if err != nil {
		return Sealed{}, err
	}
	shown := filepath.Join(dir, Name)
	m, err := parse(shown, before, true)
	if err != nil {
		return Sealed{}, err
	}
	m.Dir = abs
	root, err := os.OpenRoot(abs)
	if err != nil {
		return Sealed{}, fmt.Errorf("cannot seal: %w", err)
	}
	defer func() { _ = root.Close() }()
	out := Sealed{Path: shown, Gone: []string{}}
	sums, err := m.sums(ctx, root, &out)
	if err != nil {
		return Sealed{}, err
	}
	after, err := withFiles(shown, before, m, sums)
	if err != nil {
		return Sealed{}, err
	}
	sealed, err := Parse(shown, after)
	if err != nil {
		return Sealed{}, err
	}
	out.SHA256 = sealed.SHA256
	if string(after) == string(before) {
		return out, nil
	}
	info, err := root.Lstat(Name)
	if err != nil {
		return Sealed{}, fmt.Errorf("cannot seal: %w", err)
	}
	if now, err := text(abs); err != nil || string(now) != string(before) {
		return Sealed{}, fmt.Errorf("cannot seal: %s was changed meanwhile; try again", shown)
	}
	if err := atomicfile.Write(filepath.Join(abs, Name), after, info.Mode().Perm()); err != nil {
		return Sealed{}, fmt.Errorf("cannot seal: %w", err)
	}
	return out, nil
}

// sums computes the sums of everything to be listed, and reports each to out.
func (m *Manifest) sums(ctx context.Context, root *os.Root, out *Sealed) (map[string]string, error) {
	old := m.Files
	names, err := m.toSeal(root, out)
	if err != nil {
		return nil, err
	}
	m.Files = map[string]string{}
	for _, name := range names { // links need to know what else is listed
		m.Files[name] = ""
		if info, err := root.Lstat(filepath.FromSlash(name)); err == nil && info.IsDir() {
			m.Files[name] = treePrefix
		}
	}
	s, r := &summer{ctx: ctx, m: m, root: root, program: m.Program()}, &reader{m: m}
	defer func() { _ = s.close() }()
	sums := map[string]string{}
	for _, name := range names {
		sum, err := s.sum(name)
		var p *problem
		switch key := []string{"files", name}; {
		case errors.As(err, &p):
			r.fault(key, p.hint, "%s", p.why)
		case errors.Is(err, fs.ErrNotExist):
			r.fault(key, "build or write it first", "there is no such file")
		case err != nil:
			r.fault(key, "", "%v", err)
		default:
			sums[name] = sum
			out.Entries = append(out.Entries, Entry{Name: name, Sum: sum, Before: old[name]})
		}
	}
	r.faults.Sort()
	return sums, r.faults.Err()
}

// toSeal returns the names to be listed, in order, none of them inside another.
func (m *Manifest) toSeal(root *os.Root, out *Sealed) ([]string, error) {
	want := map[string]bool{}
	for name := range m.Files {
		if _, err := root.Lstat(filepath.FromSlash(name)); errors.Is(err, fs.ErrNotExist) {
			out.Gone = append(out.Gone, name)
			continue
		}
		want[name] = true
	}
	slices.Sort(out.Gone)
	for _, word := range m.Run {
		if name, own := inside(word); own {
			want[name] = true
		}
	}
	if m.Interpreter() != "" {
		entries, err := fs.ReadDir(root.FS(), ".")
		if err != nil {
			return nil, fmt.Errorf("cannot seal: %w", err)
		}
		for _, e := range entries {
			if name := e.Name(); name != Name && name != "__pycache__" && !strings.HasPrefix(name, ".") {
				want[name] = true
			}
		}
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !under(want, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// under reports whether a name is in a directory that is also wanted.
func under(want map[string]bool, name string) bool {
	for i := range len(name) {
		if name[i] == '/' && want[name[:i]] {
			return true
		}
	}
	return false
}

var sealedLine = regexp.MustCompile(`^(\s*(?:"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)\s*=\s*)("[^"]*"|'[^']*')`)

// withFiles returns the text with these sums in [files], and nothing else changed.
func withFiles(name string, data []byte, m *Manifest, sums map[string]string) ([]byte, error) {
	lines := strings.SplitAfter(string(data), "\n")
	at, there := m.where[tomltext.Join([]string{"files"})]
	if there && !strings.HasPrefix(strings.TrimSpace(lines[at.Line-1]), "[") {
		return nil, fmt.Errorf("cannot edit %s: write [files] as a table of its own", name)
	}
	if last := len(lines) - 1; lines[last] != "" {
		lines[last] += "\n"
		lines = append(lines, "")
	}
	insert, fresh := at.Line, map[string]bool{}
	for k := range sums {
		fresh[k] = true
	}
	for key, p := range m.where {
		k, ok := strings.CutPrefix(key, "files\x00")
		if !ok {
			continue
		}
		parts := sealedLine.FindStringSubmatchIndex(lines[p.Line-1])
		if parts == nil {
			return nil, fmt.Errorf("cannot edit %s:%d: write one file a line, as \"name\" = \"sum\"", name, p.Line)
		}
		insert = max(insert, p.Line)
		sum, stays := sums[k]
		if !stays {
			lines[p.Line-1] = ""
			continue
		}
		delete(fresh, k)
		lines[p.Line-1] = lines[p.Line-1][:parts[4]] + fmt.Sprintf("%q", sum) + lines[p.Line-1][parts[5]:]
	}
	var added strings.Builder
	if !there {
		insert = len(lines)
		added.WriteString("\n[files]\n")
	}
	for _, k := range slices.Sorted(maps.Keys(fresh)) {
		fmt.Fprintf(&added, "%q = %q\n", k, sums[k])
	}
	after := []byte(strings.Join(lines[:insert], "") + added.String() + strings.Join(lines[insert:], ""))
	return after, sameBut(name, data, after, sums)
}

// sameBut parses the edited text: it must differ in the sums only.
func sameBut(name string, before, after []byte, sums map[string]string) error {
	was, err := tomltext.Decode(name, before)
	if err != nil {
		return err
	}
	is, err := tomltext.Decode(name, after)
	if err != nil {
		return fmt.Errorf("cannot edit %s: %w", name, err)
	}
	files := map[string]any{}
	for k, v := range sums {
		files[k] = v
	}
	was["files"] = files
	if !reflect.DeepEqual(was, is) {
		return fmt.Errorf("cannot edit %s: write [files] as a table of its own, one file a line", name)
	}
	return nil
}
