package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is one condition that is negated in one run of the tests.
type mutant struct {
	id     int
	file   string // its path, as the go command names it
	line   int
	text   string // the condition, on one line
	ignore string // the reason why it may survive, from the source
	from   int    // its offsets in the file
	to     int
}

// marker begins a comment that says why the conditions of a line may survive. The comment is at the end of that line,
// or alone on the line above it.
const marker = "//mutate:ignore"

// conditions finds the conditions of the files of a package: those of if, for and switch without a tag, and each
// operand of && and ||. Generated files have none.
func conditions(dir string, files []string) ([]mutant, error) {
	var all []mutant
	for _, name := range files {
		path := filepath.Join(dir, name)
		src, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		found, err := conditionsOf(path, src)
		if err != nil {
			return nil, err
		}
		for i := range found {
			found[i].id = len(all) + i + 1
		}
		all = append(all, found...)
	}
	return all, nil
}

func conditionsOf(path string, src []byte) ([]mutant, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	if ast.IsGenerated(file) {
		return nil, nil
	}
	reasons, err := reasonsOf(fset, file, src)
	if err != nil {
		return nil, err
	}
	var found []mutant
	used := map[int]bool{}
	for _, e := range negatable(file) {
		from, to := fset.Position(e.Pos()), fset.Position(e.End())
		m := mutant{
			file: path, line: from.Line, from: from.Offset, to: to.Offset,
			text: strings.Join(strings.Fields(string(src[from.Offset:to.Offset])), " "), ignore: reasons[from.Line],
		}
		used[from.Line] = true
		found = append(found, m)
	}
	for line := range reasons {
		if !used[line] {
			return nil, fmt.Errorf("%s:%d: %s has no condition on its line", path, line, marker)
		}
	}
	return found, nil
}

// reasonsOf returns the reasons of the markers, by the line that they are about.
func reasonsOf(fset *token.FileSet, file *ast.File, src []byte) (map[int]string, error) {
	reasons := map[int]string{}
	for _, group := range file.Comments {
		for _, c := range group.List {
			reason, ok := strings.CutPrefix(c.Text, marker)
			if !ok {
				continue
			}
			at := fset.Position(c.Pos())
			reason = strings.TrimSpace(reason)
			if reason == "" {
				return nil, fmt.Errorf("%s:%d: %s needs a reason", at.Filename, at.Line, marker)
			}
			line := at.Line
			if before := src[at.Offset-at.Column+1 : at.Offset]; len(bytes.TrimSpace(before)) == 0 {
				line++
			}
			reasons[line] = reason
		}
	}
	return reasons, nil
}

// negatable lists the conditions of a file by their place in it, each once.
func negatable(file *ast.File) []ast.Expr {
	type span struct{ from, to token.Pos }
	seen := map[span]bool{}
	var found []ast.Expr
	add := func(e ast.Expr) {
		if e == nil || seen[span{e.Pos(), e.End()}] {
			return
		}
		seen[span{e.Pos(), e.End()}] = true
		found = append(found, e)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GenDecl:
			return n.Tok != token.CONST // a constant can call no function
		case *ast.IfStmt:
			add(n.Cond)
		case *ast.ForStmt:
			add(n.Cond)
		case *ast.SwitchStmt:
			if n.Tag == nil {
				for _, clause := range n.Body.List {
					for _, e := range clause.(*ast.CaseClause).List {
						add(e)
					}
				}
			}
		case *ast.BinaryExpr:
			if n.Op == token.LAND || n.Op == token.LOR {
				for _, e := range operands(n, n.Op) {
					add(e)
				}
			}
		}
		return true
	})
	slices.SortStableFunc(found, func(a, b ast.Expr) int {
		return cmp.Or(cmp.Compare(a.Pos(), b.Pos()), cmp.Compare(b.End(), a.End()))
	})
	return found
}

// operands returns the operands of a chain of one operator: a, b and c of a && b && c.
func operands(e ast.Expr, op token.Token) []ast.Expr {
	if b, ok := e.(*ast.BinaryExpr); ok && b.Op == op {
		return append(operands(b.X, op), operands(b.Y, op)...)
	}
	return []ast.Expr{e}
}

// instrument returns the text of a file in which each condition passes a function that can negate it. It adds no line,
// so that positions in messages stay right.
func instrument(src []byte, mutants []mutant) []byte {
	type insertion struct {
		at   int
		text string
	}
	var opens, closes []insertion
	for _, m := range mutants { // outer conditions come before those inside of them
		opens = append(opens, insertion{m.from, fmt.Sprintf("gatehostMutate(%d, ", m.id)})
		closes = append(closes, insertion{m.to, ")"})
	}
	all := append(closes, opens...)
	slices.SortStableFunc(all, func(a, b insertion) int { return cmp.Compare(a.at, b.at) })
	var out bytes.Buffer
	last := 0
	for _, in := range all {
		out.Write(src[last:in.at])
		out.WriteString(in.text)
		last = in.at
	}
	out.Write(src[last:])
	return out.Bytes()
}
