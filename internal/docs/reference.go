package docs

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// code is the parsed source of some folders, without tests.
type code struct {
	files  map[string][]*ast.File // by folder
	consts map[string]string      // the values of string and number constants, by folder + "." + name
}

// parse reads the Go files below the folders.
func (t *tree) parse(folders ...string) (*code, error) {
	c := &code{files: map[string][]*ast.File{}, consts: map[string]string{}}
	for _, p := range t.inOrder() {
		in := func(folder string) bool { return strings.HasPrefix(p.name, folder+"/") }
		if !strings.HasSuffix(p.name, ".go") || strings.HasSuffix(p.name, "_test.go") ||
			strings.Contains(p.name, "/testdata/") ||
			!slices.ContainsFunc(folders, in) {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), p.name, p.raw, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		dir := path.Dir(p.name)
		c.files[dir] = append(c.files[dir], f)
		for _, d := range f.Decls {
			c.constants(dir, d)
		}
	}
	return c, nil
}

func (c *code) constants(dir string, d ast.Decl) {
	gen, ok := d.(*ast.GenDecl)
	if !ok || gen.Tok != token.CONST {
		return
	}
	for _, spec := range gen.Specs {
		v := spec.(*ast.ValueSpec) //nolint:forcetypeassert // what a const declaration has
		for i, name := range v.Names {
			if i < len(v.Values) {
				if lit, ok := v.Values[i].(*ast.BasicLit); ok {
					c.consts[dir+"."+name.Name] = unquoted(lit)
				}
			}
		}
	}
}

func unquoted(lit *ast.BasicLit) string {
	if s, err := strconv.Unquote(lit.Value); err == nil && lit.Kind == token.STRING {
		return s
	}
	return lit.Value
}

// named are the values of the constants of a folder whose names match.
func (c *code) named(dir, pattern string) []string {
	re := regexp.MustCompile(`^` + regexp.QuoteMeta(dir) + `\.` + pattern + `$`)
	var out []string
	for name, v := range c.consts {
		if re.MatchString(name) {
			out = append(out, v)
		}
	}
	return sorted(out)
}

func sorted(s []string) []string {
	slices.Sort(s)
	return slices.Compact(s)
}

// literals calls use for each composite literal of a type with this name, with the values of its fields.
func (c *code) literals(typeName string, use func(dir string, fields map[string]ast.Expr)) {
	for dir, files := range c.files {
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				lit, ok := n.(*ast.CompositeLit)
				if !ok || nameOf(lit.Type) != typeName {
					return true
				}
				fields := map[string]ast.Expr{}
				for i, e := range lit.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok {
						fields[nameOf(kv.Key)] = kv.Value
					} else {
						fields[strconv.Itoa(i)] = e
					}
				}
				use(dir, fields)
				return true
			})
		}
	}
}

// nameOf is the last name of an identifier, a selector, or a pointer to one.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.StarExpr:
		return nameOf(e.X)
	default:
		return ""
	}
}

// value is the text of a literal or a constant, "" for anything else. A constant of another package is found by its
// name.
func (c *code) value(dir string, e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		return unquoted(e)
	case *ast.Ident:
		return c.consts[dir+"."+e.Name]
	case *ast.SelectorExpr:
		for name, v := range c.consts {
			if strings.HasSuffix(name, "."+e.Sel.Name) {
				return v
			}
		}
	}
	return ""
}

// conditions are the codes of all conditions that the host can make.
func (c *code) conditions() []string {
	var out []string
	c.literals("Condition", func(dir string, fields map[string]ast.Expr) {
		if v := c.value(dir, fields["Code"]); v != "" {
			out = append(out, v)
		}
	})
	return sorted(out)
}

// routes are "METHOD path" of the table in routes.go.
func (c *code) routes() []string {
	var out []string
	for _, f := range c.files["host/internal/httpapi"] {
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			if list, ok := lit.Type.(*ast.ArrayType); !ok || nameOf(list.Elt) != "route" {
				return true
			}
			for _, e := range lit.Elts {
				if row, ok := e.(*ast.CompositeLit); ok && len(row.Elts) > 1 {
					out = append(out, strings.ToUpper(strings.TrimPrefix(nameOf(row.Elts[0]), "Method"))+" "+c.value("", row.Elts[1]))
				}
			}
			return false
		})
	}
	return sorted(out)
}

// cells are the first n cells of the table rows of a section, joined, without backquotes.
func cells(doc, title string, n int) []string {
	var out []string
	for line := range strings.Lines(under(doc, title)) {
		parts := strings.Split(line, "|")
		if len(parts) < n+2 || strings.Trim(parts[1], " -") == "" ||
			slices.Contains([]string{"code", "type", "exit", "method"}, strings.TrimSpace(parts[1])) {
			continue
		}
		var row []string
		for _, p := range parts[1 : n+1] {
			row = append(row, strings.Trim(strings.TrimSpace(p), "`"))
		}
		out = append(out, strings.Join(row, " "))
	}
	return sorted(out)
}

// reference is what docs/reference/api.md says otherwise than the code.
func (t *tree) reference() ([]fault, error) {
	c, err := t.parse("host", "shared/control", "cmd/host")
	if err != nil {
		return nil, err
	}
	doc := t.pages[apiDoc].raw
	var out []fault
	for _, row := range []struct {
		title string
		cells int
		want  []string
	}{
		{"Routes", 2, c.routes()},
		{"Errors", 1, c.named("shared/control", `Code\w+`)},
		{"Events", 1, c.named("shared/control", `Event[A-Z]\w+`)},
		{"Conditions", 1, c.conditions()},
		{"Exit codes", 1, c.named("cmd/host", `exit[A-Z]\w+`)},
	} {
		got := cells(doc, row.title, row.cells)
		for _, w := range row.want {
			if !slices.Contains(got, w) {
				out = append(out, fault{apiDoc, 1, fmt.Sprintf("%s: %s is missing", row.title, w)})
			}
		}
		for _, g := range got {
			if !slices.Contains(row.want, g) {
				out = append(out, fault{apiDoc, 1, fmt.Sprintf("%s: %s is not in the code", row.title, g)})
			}
		}
	}
	return out, nil
}

const (
	typesBegin = "<!-- types: written by go test ./internal/docs -update -->\n"
	typesEnd   = "<!-- end of types -->\n"
)

// types are the JSON shapes of package control.
func (c *code) types() string {
	var b strings.Builder
	b.WriteString("\n")
	var specs []*ast.TypeSpec
	docs := map[*ast.TypeSpec]string{}
	for _, f := range c.files["shared/control"] {
		for _, d := range f.Decls {
			gen, ok := d.(*ast.GenDecl)
			if !ok || gen.Tok != token.TYPE {
				continue
			}
			for _, s := range gen.Specs {
				spec := s.(*ast.TypeSpec) //nolint:forcetypeassert // what a type declaration has
				if st, ok := spec.Type.(*ast.StructType); ok && spec.Name.IsExported() && hasJSON(st) {
					specs = append(specs, spec)
					docs[spec] = cmp.Or(spec.Doc.Text(), gen.Doc.Text())
				}
			}
		}
	}
	slices.SortFunc(specs, func(a, b *ast.TypeSpec) int { return strings.Compare(a.Name.Name, b.Name.Name) })
	for _, s := range specs {
		fmt.Fprintf(&b, "### %s\n\n%s\n\n| field | type | meaning |\n|---|---|---|\n", s.Name.Name, wrapped(docs[s]))
		for _, f := range s.Type.(*ast.StructType).Fields.List { //nolint:forcetypeassert // filtered above
			b.WriteString(fieldRow(f))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func hasJSON(st *ast.StructType) bool {
	return slices.ContainsFunc(st.Fields.List,
		func(f *ast.Field) bool { return f.Tag != nil && strings.Contains(f.Tag.Value, "json:") })
}

var jsonTag = regexp.MustCompile("json:\"([^\",]*)(,[^\"]*)?\"")

func fieldRow(f *ast.Field) string {
	if len(f.Names) == 0 {
		return fmt.Sprintf("| | | all fields of `%s` |\n", nameOf(f.Type))
	}
	if f.Tag == nil {
		return ""
	}
	m := jsonTag.FindStringSubmatch(f.Tag.Value)
	if m == nil || m[1] == "-" || m[1] == "" {
		return ""
	}
	optional := ""
	if m[2] != "" {
		optional = "?"
	}
	text := strings.ReplaceAll(cmp.Or(oneLine(f.Doc.Text()), oneLine(f.Comment.Text())), "|", "\\|")
	return fmt.Sprintf("| `%s`%s | %s | %s |\n", m[1], optional, jsonType(f.Type), text)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// wrapped breaks a text into lines of a document.
func wrapped(text string) string {
	var b strings.Builder
	column := 0
	for i, w := range strings.Fields(text) {
		switch {
		case i == 0:
		case column+1+len(w) > maxColumns:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(w)
		column += len(w)
	}
	return b.String()
}

// jsonType is a Go type in words of JSON.
func jsonType(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return jsonType(e.X)
	case *ast.ArrayType:
		return "list of " + jsonType(e.Elt)
	case *ast.MapType:
		return "object of " + jsonType(e.Value)
	}
	switch name := nameOf(e); name {
	case "bool":
		return "boolean"
	case "int", "int32", "int64", "uint32", "uint64", "float64":
		return "number"
	case "RawMessage":
		return "any"
	case "Time":
		return "time"
	default:
		if name[0] >= 'a' && name[0] <= 'z' {
			return name
		}
		return fmt.Sprintf("[%s](#%s)", name, strings.ToLower(name))
	}
}
