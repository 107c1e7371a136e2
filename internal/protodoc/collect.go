package main

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
)

// pkg is one package of the contract: its files in the order of their names, the one with the package's comment first.
type pkg struct {
	name     string
	short    string // its last element: v1alpha1
	files    []*protogen.File
	promises map[string]promise // by method, as the table calls it: Doctor.Diagnose
}

// promise is one row of the table of deadlines.
type promise struct{ deadline, idempotent, concurrent, miss string }

// collect orders the files that are generated. Its errors are faults of the contract: a method without a row says nothing of its deadline,
// a row without a method promises something that nobody can call.
func collect(files []*protogen.File) ([]pkg, error) {
	byName := map[string]*pkg{}
	for _, f := range files {
		if !f.Generate {
			continue
		}
		name := string(f.Desc.Package())
		if byName[name] == nil {
			byName[name] = &pkg{name: name, short: name[strings.LastIndexByte(name, '.')+1:], promises: map[string]promise{}}
		}
		byName[name].files = append(byName[name].files, f)
	}
	var packages []pkg
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		p := byName[name]
		slices.SortStableFunc(p.files, func(a, b *protogen.File) int {
			if x, y := about(a) == "", about(b) == ""; x != y {
				return map[bool]int{true: 1, false: -1}[x]
			}
			return strings.Compare(a.Desc.Path(), b.Desc.Path())
		})
		if err := p.read(); err != nil {
			return nil, err
		}
		packages = append(packages, *p)
	}
	return packages, nil
}

// read takes the rows of the tables in the comments of a package, and holds them against its methods.
func (p *pkg) read() error {
	for _, f := range p.files {
		for _, b := range blocks(about(f)) {
			rows, err := tableOf(b)
			if err != nil {
				return fmt.Errorf("%s: %w", f.Desc.Path(), err)
			}
			for _, r := range rows {
				if _, twice := p.promises[r[0]]; twice {
					return fmt.Errorf("%s: the table of deadlines has two rows for %s", f.Desc.Path(), r[0])
				}
				p.promises[r[0]] = promise{r[1], r[2], r[3], r[4]}
			}
		}
	}
	unused := maps.Clone(p.promises)
	for _, f := range p.files {
		for _, s := range f.Services {
			for _, m := range s.Methods {
				name := methodName(m)
				if _, ok := p.promises[name]; !ok {
					return fmt.Errorf("%s: the table of deadlines in the comment of package %s has no row for %s", f.Desc.Path(), p.name, name)
				}
				delete(unused, name)
			}
		}
	}
	if len(unused) > 0 {
		return fmt.Errorf("package %s: the table of deadlines has rows for methods that no service has: %s",
			p.name, strings.Join(slices.Sorted(maps.Keys(unused)), ", "))
	}
	return nil
}

// methodName is how the table calls a method: DoctorService.Plan is Doctor.Plan.
func methodName(m *protogen.Method) string {
	return strings.TrimSuffix(string(m.Parent.Desc.Name()), "Service") + "." + string(m.Desc.Name())
}

// fileName is the last element of a file's path.
func fileName(f *protogen.File) string { return path.Base(f.Desc.Path()) }
