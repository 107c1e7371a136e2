package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// source is what the go command says of a package whose files are read.
type source struct {
	ImportPath string
	Dir        string
	Export     string // compiled export data, for importers
	GoFiles    []string
	DepOnly    bool
	Error      *struct{ Err string }
}

// load reads the packages that the patterns name, with the export data of all that they import.
func load(dir string, patterns ...string) ([]source, error) {
	args := append([]string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,DepOnly,Error"},
		patterns...)
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot load %v: %w\n%s", patterns, err, stderr.String())
	}
	var all []source
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var s source
		switch err := dec.Decode(&s); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("cannot read the list of packages: %w", err)
		case s.Error != nil:
			return nil, fmt.Errorf("cannot load %s: %s", s.ImportPath, s.Error.Err)
		}
		all = append(all, s)
	}
}

// circles returns, for each package that the patterns name, the largest set of its files that reach each other by
// references: none of them can be read alone. Files of tests do not count. A package without a circle has one file at
// most in the set.
func circles(dir string, patterns ...string) (map[string][]string, error) {
	all, err := load(dir, patterns...)
	if err != nil {
		return nil, err
	}
	exports := map[string]string{}
	for _, s := range all {
		exports[s.ImportPath] = s.Export
	}
	out := map[string][]string{}
	for _, s := range all {
		if s.DepOnly || len(s.GoFiles) == 0 {
			continue
		}
		references, err := references(s, exports)
		if err != nil {
			return nil, err
		}
		out[s.ImportPath] = largestCircle(references)
	}
	return out, nil
}

// references is which files of a package name something that is declared in which other ones.
func references(s source, exports map[string]string) (map[string][]string, error) {
	fset := token.NewFileSet()
	var files []*ast.File
	arrows := map[string][]string{}
	for _, name := range s.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(s.Dir, name), nil, 0)
		if err != nil {
			return nil, err
		}
		files, arrows[name] = append(files, f), nil
	}
	lookup := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", lookup)}
	checked, err := conf.Check(s.ImportPath, fset, files, info)
	if err != nil {
		return nil, fmt.Errorf("cannot check the types of %s: %w", s.ImportPath, err)
	}
	for id, object := range info.Uses {
		if object.Pkg() != checked || !object.Pos().IsValid() {
			continue
		}
		from := filepath.Base(fset.Position(id.Pos()).Filename)
		to := filepath.Base(fset.Position(object.Pos()).Filename)
		if from != to && !slices.Contains(arrows[from], to) {
			arrows[from] = append(arrows[from], to)
		}
	}
	return arrows, nil
}

// largestCircle is the largest strongly connected set of a graph, in order.
func largestCircle(arrows map[string][]string) []string {
	reach := map[string]map[string]bool{}
	for from := range arrows {
		seen := map[string]bool{}
		for queue := slices.Clone(arrows[from]); len(queue) > 0; queue = queue[1:] {
			if to := queue[0]; !seen[to] {
				seen[to] = true
				queue = append(queue, arrows[to]...)
			}
		}
		reach[from] = seen
	}
	var largest []string
	for one := range arrows {
		set := []string{one}
		for other := range arrows {
			if other != one && reach[one][other] && reach[other][one] {
				set = append(set, other)
			}
		}
		slices.Sort(set)
		if len(set) > len(largest) || len(set) == len(largest) && slices.Compare(set, largest) < 0 {
			largest = set
		}
	}
	return largest
}

// mutex is the declaration of a lock.
type mutex struct{ place, reason string }

// mutexes finds the fields and variables of a package that are mutexes, with the comment beside or above them. Files
// of tests do not count.
func mutexes(dir string) ([]mutex, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []mutex
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, filepath.Join(dir, e.Name()), nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			var typ ast.Expr
			var comments [2]*ast.CommentGroup
			switch n := n.(type) {
			case *ast.Field:
				typ, comments = n.Type, [2]*ast.CommentGroup{n.Doc, n.Comment}
			case *ast.ValueSpec:
				typ, comments = n.Type, [2]*ast.CommentGroup{n.Doc, n.Comment}
			}
			if !isMutex(typ) {
				return true
			}
			at := fset.Position(n.Pos())
			out = append(out, mutex{
				place:  fmt.Sprintf("%s:%d", filepath.Join(filepath.Base(dir), e.Name()), at.Line),
				reason: strings.Join(strings.Fields(comments[0].Text()+" "+comments[1].Text()), " "),
			})
			return true
		})
	}
	return out, nil
}

func isMutex(typ ast.Expr) bool {
	s, ok := typ.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := s.X.(*ast.Ident)
	return ok && pkg.Name == "sync" && (s.Sel.Name == "Mutex" || s.Sel.Name == "RWMutex")
}
