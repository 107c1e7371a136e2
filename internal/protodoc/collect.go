package main

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
)

// pkg is one package of the contract: its files in the order of their names, those with a comment of their own
// first.
type pkg struct {
	name  string
	short string // its last element: v1alpha1
	files []*protogen.File
}

// promise is one row of the table of deadlines.
type promise struct{ deadline, idempotent, concurrent, miss string }

// contract holds all packages, and the promises about their methods by the name in the table: Doctor.Diagnose. A
// method of a later version with the name of an earlier one has its promise.
type contract struct {
	packages []pkg
	promises map[string]promise
}

// collect orders the files that are generated. Its errors are faults of the contract: a method without a row has no
// deadline, a row without a method promises something that cannot be called.
func collect(files []*protogen.File) (contract, error) {
	byName := map[string]*pkg{}
	for _, f := range files {
		if !f.Generate {
			continue
		}
		name := string(f.Desc.Package())
		if byName[name] == nil {
			byName[name] = &pkg{name: name, short: name[strings.LastIndexByte(name, '.')+1:]}
		}
		byName[name].files = append(byName[name].files, f)
	}
	c := contract{promises: map[string]promise{}}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		p := byName[name]
		slices.SortStableFunc(p.files, func(a, b *protogen.File) int {
			if x, y := about(a) == "", about(b) == ""; x != y {
				return map[bool]int{true: 1, false: -1}[x]
			}
			return strings.Compare(a.Desc.Path(), b.Desc.Path())
		})
		c.packages = append(c.packages, *p)
		for _, f := range p.files {
			if err := c.read(f); err != nil {
				return contract{}, fmt.Errorf("%s: %w", f.Desc.Path(), err)
			}
		}
	}
	return c, c.complete()
}

// read takes the rows of the table in the comment of a file.
func (c contract) read(f *protogen.File) error {
	for _, b := range blocks(about(f)) {
		rows, err := tableOf(b)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if _, twice := c.promises[r[0]]; twice {
				return fmt.Errorf("the table of deadlines has two rows for %s", r[0])
			}
			c.promises[r[0]] = promise{r[1], r[2], r[3], r[4]}
		}
	}
	return nil
}

// complete compares the rows with the methods.
func (c contract) complete() error {
	unused := maps.Clone(c.promises)
	for _, p := range c.packages {
		for _, f := range p.files {
			for _, s := range f.Services {
				for _, m := range s.Methods {
					name := methodName(m)
					if _, ok := c.promises[name]; !ok {
						return fmt.Errorf(
							"%s: no row for %s in the table of deadlines, which stands in the comment of a package",
							f.Desc.Path(), name)
					}
					delete(unused, name)
				}
			}
		}
	}
	if len(unused) > 0 {
		return fmt.Errorf("the table of deadlines has rows for methods that no service has: %s",
			strings.Join(slices.Sorted(maps.Keys(unused)), ", "))
	}
	return nil
}

// methodName returns the name of a method in the table: DoctorService.Plan is Doctor.Plan.
func methodName(m *protogen.Method) string {
	return strings.TrimSuffix(string(m.Parent.Desc.Name()), "Service") + "." + string(m.Desc.Name())
}

// fileName returns the last element of a file's path.
func fileName(f *protogen.File) string { return path.Base(f.Desc.Path()) }
