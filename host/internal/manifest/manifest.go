package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/gatehost/gatehost/host/internal/tomltext"
)

// Name is the name of the file.
const Name = "plugin.toml"

// Version is the newest `manifest` that this host supports.
const Version = 1

// maxManifest bounds plugin.toml in bytes: a directory with many files is one entry of [files].
const maxManifest = 256 << 10

// Manifest is a plugin.toml that was read and is valid. Open checks the files that it lists.
type Manifest struct {
	Dir    string // its directory, absolute, without symbolic links; "" when only a text was parsed
	SHA256 string // of its text, lower-case hex: pinning it pins everything that it lists

	Plugin  string   // `name`
	Version string   // of the plugin
	Kinds   []string // launcher, unloader, doctor, classifier; at least one
	// Run is what is started: the program in the directory ("./x"), or an interpreter by its absolute path and its
	// arguments. Each word that begins with "./" is a file of the directory.
	Run       []string
	Transport string   // auto_mtls, socket; "" when the manifest does not say
	Grants    []string // that the plugin asks for
	Read      []string // files and directories outside its own directory that it asks to read; absolute
	Write     []string // the same, also for writing
	Network   bool     // it asks for TCP
	// Files are the sums of files, in lower-case hex, and of directories, as "tree:" and hex, by their
	// slash-separated name. Empty: not sealed.
	Files map[string]string

	file  string // its name in faults
	where tomltext.Positions
}

// Text is a manifest that was read and not parsed yet.
type Text struct {
	SHA256 string // of the text, lower-case hex

	dir   string // absolute, without symbolic links
	shown string // the name of the file in faults
	data  []byte
}

// Load reads the text of the manifest of a directory. Errors: there is none (fs.ErrNotExist), or it cannot be read.
func Load(dir string) (Text, error) {
	abs, err := filepath.Abs(dir)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return Text{}, fmt.Errorf("cannot find the plugin's directory: %w", err)
	}
	data, err := text(abs)
	if err != nil {
		return Text{}, err
	}
	return Text{SHA256: sumOf(data), dir: abs, shown: filepath.Join(dir, Name), data: data}, nil
}

// Parse checks the manifest. The error is a tomltext.Faults with everything that is wrong.
func (t Text) Parse() (*Manifest, error) {
	m, err := Parse(t.shown, t.data)
	if err != nil {
		return nil, err
	}
	m.Dir = t.dir
	return m, nil
}

// Read reads and checks the manifest of a directory: Load and Parse.
func Read(dir string) (*Manifest, error) {
	t, err := Load(dir)
	if err != nil {
		return nil, err
	}
	return t.Parse()
}

// sumOf returns the SHA-256 of a text in lower-case hex.
func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// text returns the text of a manifest: a regular file, not larger than allowed.
func text(dir string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read the plugin's directory: %w", err)
	}
	defer func() { _ = root.Close() }()
	info, err := root.Lstat(Name) // check first: opening a named pipe would wait for a writer
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read the manifest: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("cannot read the manifest: %s is %s, not a file", Name, kindOf(info))
	}
	f, err := root.Open(Name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the manifest: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the manifest: %w", err)
	}
	return data, nil
}

// Parse reads a manifest from its text; name is the operator's name for the file. The error is a tomltext.Faults
// with everything that is wrong, in the order of the file.
func Parse(name string, data []byte) (*Manifest, error) { return parse(name, data, false) }

// parse is Parse. A manifest that is about to be sealed may hold any sums, and may lack what run names: sealing
// corrects both.
func parse(name string, data []byte, toSeal bool) (*Manifest, error) {
	if len(data) > maxManifest {
		return nil, tomltext.Faults{{
			File: name, Message: fmt.Sprintf("larger than %d KiB", maxManifest>>10),
			Hint: "list directories in [files], not each of their files",
		}}
	}
	raw, err := tomltext.Decode(name, data)
	if err != nil {
		return nil, err
	}
	m := &Manifest{SHA256: sumOf(data), file: name, where: tomltext.FindPositions(string(data))}
	r := &reader{m: m, toSeal: toSeal}
	if v, ok := raw["manifest"].(int64); ok && v > Version { // the other keys may have another meaning by then
		r.fault([]string{"manifest"}, "update gatehost", "%d is newer than this gatehost supports, which is %d", v,
			Version)
		return nil, r.faults
	}
	r.read(raw)
	r.faults.Sort()
	if err := r.faults.Err(); err != nil {
		return nil, err
	}
	return m, nil
}

// Interpreter returns the program outside the directory that runs the plugin; "" when the plugin is a program
// itself.
func (m *Manifest) Interpreter() string {
	if _, own := inside(m.Run[0]); own {
		return ""
	}
	return m.Run[0]
}

// Program returns the name in the directory of the program that is the plugin; "" with an interpreter.
func (m *Manifest) Program() string {
	if name, own := inside(m.Run[0]); own {
		return name
	}
	return ""
}

// Argv returns the command line: the words of Run, those of the directory by their absolute path.
func (m *Manifest) Argv() []string {
	argv := make([]string, len(m.Run))
	for i, word := range m.Run {
		argv[i] = word
		if name, own := inside(word); own {
			argv[i] = filepath.Join(m.Dir, filepath.FromSlash(name))
		}
	}
	return argv
}

// covered reports whether [files] lists a name, or a directory that contains it.
func (m *Manifest) covered(name string) bool {
	if _, ok := m.Files[name]; ok {
		return true
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if isTree(m.Files[dir]) {
			return true
		}
	}
	return false
}

// inside returns the name in the directory that a word of run means, and whether it means one.
func inside(word string) (string, bool) {
	name, ok := strings.CutPrefix(word, "./")
	return name, ok
}

// kindOf says in words what is there instead of a file.
func kindOf(info fs.FileInfo) string {
	switch mode := info.Mode(); {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case mode.IsRegular():
		return "a file"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	default:
		return "a device"
	}
}

// ErrUnsealed says that the manifest lists no files.
var ErrUnsealed = errors.New(
	"[files] is empty: the host cannot check that the plugin's files are those that its author meant")
