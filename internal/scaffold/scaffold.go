package scaffold

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// The languages of projects.
const (
	Go     = "go"
	Node   = "node"
	Python = "python"
)

// Languages returns those in which a kind can be written, the default first.
func Languages(k plugin.Kind) []string {
	if k == plugin.KindDoctor {
		return []string{Go, Node, Python}
	}
	return []string{Go}
}

// version is the version of a plugin that has not been released yet.
const version = "0.1.0"

// Options say what to create.
type Options struct {
	Kind plugin.Kind
	Dir  string // does not exist, or an empty directory
	Lang string // "": Go
	Name string // "": the name of the directory
	// Release is the published version of this module that a Go project requires, without v; "": the project gets a
	// copy of the source.
	Release string
	// Gatehost is how an author's shell finds gatehost; "": by its name.
	Gatehost string
}

// Project is what was created.
type Project struct {
	Name string
	Dir  string   // absolute
	Next []string // commands that an author runs next, in order
}

// New creates a project, or nothing. Errors: fault.InvalidArgument (an unknown kind or language, or an invalid
// name), fault.FailedPrecondition (something exists already), and those of the file system.
func New(o Options) (Project, error) {
	data, err := dataOf(o)
	if err != nil {
		return Project{}, err
	}
	files, err := contents(data)
	if err != nil {
		return Project{}, err
	}
	if err := write(data.Dir, files); err != nil {
		return Project{}, err
	}
	return Project{Name: data.Name, Dir: data.Dir, Next: next(o.Dir, data.Lang, o.Gatehost)}, nil
}

// data is what templates may use.
type data struct {
	Name    string
	Kind    plugin.Kind
	Lang    string
	Dir     string
	Version string // of the plugin

	Release     string // see Options
	Interpreter string // absolute path of the program that runs a Node or Python project
}

// names are lower-case words joined by hyphens, as the contract says; they are also names of files, of tables and
// of Go modules.
var names = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

const maxName = 64

func dataOf(o Options) (data, error) {
	if o.Lang == "" {
		o.Lang = Go
	}
	if !slices.Contains(plugin.Kinds(), o.Kind) {
		return data{}, fault.New(fault.InvalidArgument, fmt.Sprintf("cannot make a plugin: %q is not a kind", o.Kind)).
			WithHint("the kinds are: " + join(plugin.Kinds()))
	}
	if !slices.Contains(Languages(plugin.KindDoctor), o.Lang) {
		return data{}, fault.New(fault.InvalidArgument,
			fmt.Sprintf("cannot make a plugin: %q is not a supported language", o.Lang)).
			WithHint("the languages are: " + join(Languages(plugin.KindDoctor)))
	}
	if !slices.Contains(Languages(o.Kind), o.Lang) {
		return data{}, fault.New(fault.InvalidArgument, fmt.Sprintf("cannot make a %s in %s", o.Kind, o.Lang)).
			WithHint("leave out --lang; in " + o.Lang + " a doctor can be made")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil || o.Dir == "" {
		return data{}, fault.New(fault.InvalidArgument, "cannot make a plugin: it needs a directory")
	}
	name, hint := o.Name, "use lower-case letters, digits and single hyphens, and begin with a letter"
	if name == "" {
		name, hint = filepath.Base(dir), hint+"; or give another --name"
	}
	if len(name) > maxName || !names.MatchString(name) {
		return data{}, fault.New(fault.InvalidArgument,
			fmt.Sprintf("cannot make a plugin: %.80q is not a name of a plugin", name)).WithHint(hint)
	}
	return data{
		Name: name, Kind: o.Kind, Lang: o.Lang, Dir: dir, Version: version, Release: o.Release,
		Interpreter: interpreter(o.Lang),
	}, nil
}

// interpreter returns the absolute path of the program that runs a language: the system's own, which a sandboxed
// plugin may read, before one that is only on the author's PATH.
func interpreter(lang string) string {
	program := map[string]string{Node: "node", Python: "python3"}[lang]
	system := "/usr/bin/" + program
	for _, path := range []string{system, "/usr/local/bin/" + program} {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	if path, err := exec.LookPath(program); err == nil && filepath.IsAbs(path) {
		return path
	}
	return system
}

func join[T ~string](words []T) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = string(w)
	}
	return strings.Join(out, ", ")
}

// next returns the author's next commands.
func next(dir, lang, gatehost string) []string {
	var out []string
	if dir != "." {
		out = append(out, "cd "+quote(dir))
	}
	setting, command := "", "gatehost"
	if gatehost != "" {
		command = quote(gatehost)
		setting = " GATEHOST=" + command
	}
	switch {
	case lang == Node && gatehost == "":
		out = append(out, "npm ci", "npm test", "npm run seal")
	case lang == Node:
		out = append(out, "npm ci", "npm test", command+" plugin seal .")
	default:
		out = append(out, "make"+setting)
	}
	return append(out, command+" plugin verify .")
}

// quote returns a path as one word of a shell.
func quote(path string) string {
	if regexp.MustCompile(`^[A-Za-z0-9_./~+:@%-]+$`).MatchString(path) && !strings.HasPrefix(path, "~") {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
