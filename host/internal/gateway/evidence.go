package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/gatewayconfig"
	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/internal/foreignfile"
	"github.com/gatehost/gatehost/shared/plugin"
)

// maxEvidenceFile bounds a file that evidence writes: OpenClaw reads a copy of its database.
const maxEvidenceFile = 1 << 40

// evidenceBox is the sandbox of a command that a doctor asks for as evidence: it reads the gateway's state, its
// configuration, its program and the system, writes to a temporary directory, and has no network.
type evidenceBox struct {
	off  bool // by the configuration
	here sandbox.Support
	self func() (string, error) // the host's own binary, which enters the sandbox
	spec sandbox.Spec
}

// boxOf returns the sandbox of a command, by the settings in force. command is the one that the gateway was launched
// with; process has its final environment.
func boxOf(
	set config.Repair, command []string, r profile.Result, process plugin.ProcessSpec, temp string,
) evidenceBox {
	home, _ := os.UserHomeDir() // without one no place is too wide
	read := slices.Clone(set.EvidenceRead)
	read = append(read, r.StateDir, r.ConfigPath)
	if r.ConfigPath != "" { // a configuration may include files beside it, and in other directories
		read = append(read, narrow(filepath.Dir(r.ConfigPath), home))
		read = append(read, gatewayconfig.Includes(r.ConfigPath, r.Place.Roots)...)
	}
	read = append(read, programPlaces(command, process, home)...)
	read = slices.DeleteFunc(read, func(p string) bool { return p == "" || !filepath.IsAbs(p) })
	write := []string{temp}
	if locks := r.LockDir(); ownDir(locks) {
		write = append(write, locks)
	}
	return evidenceBox{
		off: set.EvidenceSandbox == config.SandboxOff, here: sandbox.Supported(), self: os.Executable,
		spec: sandbox.Spec{Command: true, Read: read, Write: write, FileSize: maxEvidenceFile},
	}
}

// ownDir makes a directory if it is missing. It reports whether it is one that no other user made: a link at a place
// that all may write to would lead elsewhere.
func ownDir(dir string) bool {
	if dir == "" {
		return false
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return false
	}
	info, err := os.Lstat(dir)
	return err == nil && info.IsDir() && ownedByUs(info)
}

// wrap makes a process begin in the sandbox. why says that it will not, and why: "" when it will. Error: it must not
// run, since it could only run without the sandbox that there is.
func (b evidenceBox) wrap(p *plugin.ProcessSpec) (why string, err error) {
	switch {
	case b.off:
		return "repair.evidence_sandbox is off", nil
	case !b.here.OK():
		return "this platform has no landlock", nil
	}
	self, err := b.self()
	if err == nil {
		_, err = os.Stat(self)
	}
	if err != nil {
		return "", fmt.Errorf("cannot sandbox the command: the host's own program is not found: %w", err)
	}
	args, err := b.spec.Args(p.Argv[0], p.Argv[1:])
	if err != nil {
		return "", err
	}
	p.Argv = append([]string{self}, args...)
	return "", nil
}

// programPlaces returns what the gateway's command is read from: for each word that is a file, the package or directory
// that holds it, and the interpreter that its first line names.
func programPlaces(command []string, process plugin.ProcessSpec, home string) []string {
	var out []string
	for i, word := range command {
		path := ""
		switch {
		case strings.ContainsRune(word, filepath.Separator) && !filepath.IsAbs(word):
			path = filepath.Join(process.Cwd, word)
		case filepath.IsAbs(word):
			path = word
		case i == 0:
			path = lookUp(word, process)
		default:
			path = filepath.Join(process.Cwd, word)
		}
		out = append(out, places(path, process, home)...)
	}
	return out
}

// places returns the places of one program.
func places(path string, process plugin.ProcessSpec, home string) []string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil || !filepath.IsAbs(real) {
		return nil
	}
	out := []string{real, installation(real, home)}
	interpreter := interpreterOf(real)
	if len(interpreter) == 0 {
		return out
	}
	if filepath.Base(interpreter[0]) == "env" { // its words may have options and variables before the program
		rest := slices.IndexFunc(interpreter[1:], func(w string) bool {
			return !strings.HasPrefix(w, "-") && !strings.Contains(w, "=")
		})
		if rest < 0 {
			return out
		}
		interpreter[0] = lookUp(interpreter[1+rest], process)
	}
	if program, err := filepath.EvalSymlinks(interpreter[0]); err == nil && filepath.IsAbs(program) {
		out = append(out, program, narrow(filepath.Dir(program), home))
	}
	return out
}

// installation returns the directory from which a program is read: the one that holds the outermost node_modules around
// it, else the package that it belongs to, else its own directory. It is never a directory that holds the user's home.
func installation(file, home string) string {
	dir := filepath.Dir(file)
	outermost, pkg := "", ""
	for at := dir; narrow(at, home) != ""; at = filepath.Dir(at) {
		if filepath.Base(at) == "node_modules" {
			outermost = at
		}
		if _, err := os.Stat(filepath.Join(at, "package.json")); err == nil && pkg == "" {
			pkg = at
		}
	}
	switch {
	case outermost != "":
		return outermost
	case pkg != "":
		return pkg
	default:
		return narrow(dir, home)
	}
}

// narrow returns a directory, or "" when it is the user's home or holds it: that is more than one program.
func narrow(dir, home string) string {
	if dir == filepath.Dir(dir) || home != "" && sandbox.Inside(home, []string{dir}) {
		return ""
	}
	return dir
}

// lookUp finds a bare name as the launcher would, by the PATH of the process.
func lookUp(name string, process plugin.ProcessSpec) string {
	if filepath.IsAbs(name) {
		return name
	}
	for _, v := range process.Env {
		if v.Name != "PATH" {
			continue
		}
		for _, dir := range filepath.SplitList(v.Value) {
			path := filepath.Join(dir, name)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return path
			}
		}
	}
	return ""
}

// interpreterOf returns the words of the first line of a script; nil for another file.
func interpreterOf(path string) []string {
	f, _, err := foreignfile.Open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	line, err := bufio.NewReader(io.LimitReader(f, 256)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	words, ok := strings.CutPrefix(line, "#!")
	if !ok {
		return nil
	}
	return strings.Fields(words)
}
