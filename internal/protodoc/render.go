package main

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const intro = `# Plugin reference

<!-- Generated from shared/proto by make proto. Do not edit: change the comments of the contract. -->

Every service, message and field of the contract between host and plugins, in the words of the proto files. How to write
a plugin: [plugin-authors.md](plugin-authors.md). For operators: [plugins.md](plugins.md).

`

// render writes the page.
func render(c contract) string {
	var b strings.Builder
	b.WriteString(intro)
	for _, p := range c.packages {
		for _, f := range p.files {
			for _, s := range f.Services {
				fmt.Fprintf(&b, "- [%s](#%s), %s\n", s.Desc.Name(), anchor(s.Desc), p.short)
			}
		}
	}
	b.WriteString("\n")
	for _, p := range c.packages {
		c.render(&b, p)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func (c contract) render(b *strings.Builder, p pkg) {
	fmt.Fprintf(b, "## Package %s\n\n", p.name)
	for _, f := range p.files {
		b.WriteString(prose(about(f)))
	}
	for _, f := range p.files {
		for _, s := range f.Services {
			c.service(b, f, s)
		}
	}
	for _, f := range p.files {
		if len(f.Messages)+len(f.Enums) > 0 {
			fmt.Fprintf(b, "### Messages of %s\n\n", fileName(f))
		}
		for _, e := range f.Enums {
			enum(b, e)
		}
		for _, m := range f.Messages {
			message(b, m)
		}
	}
}

func (c contract) service(b *strings.Builder, f *protogen.File, s *protogen.Service) {
	fmt.Fprintf(b, "<a id=%q></a>\n\n### %s\n\n%s", anchor(s.Desc), s.Desc.Name(), prose(comment(s.Comments)))
	fmt.Fprintf(b, "Full name `%s`, in `%s`.\n\n", s.Desc.FullName(), f.Desc.Path())
	for _, m := range s.Methods {
		in, out := link(m.Input.Desc), link(m.Output.Desc)
		if m.Desc.IsStreamingClient() {
			in = "stream of " + in
		}
		if m.Desc.IsStreamingServer() {
			out = "stream of " + out
		}
		row := c.promises[methodName(m)]
		fmt.Fprintf(b, "#### %s\n\n%s%s\n\n", methodName(m), prose(comment(m.Comments)), wrapped(in+" → "+out))
		writeTable(b, header[1:], [][]string{{row.deadline, row.idempotent, row.concurrent, row.miss}})
	}
}

func message(b *strings.Builder, m *protogen.Message) {
	if m.Desc.IsMapEntry() {
		return
	}
	fmt.Fprintf(b, "<a id=%q></a>\n\n#### %s\n\n%s", anchor(m.Desc), relative(m.Desc), prose(comment(m.Comments)))
	var rows [][]string
	for _, f := range m.Fields {
		meaning := cell(comment(f.Comments))
		if o := f.Oneof; o != nil && !o.Desc.IsSynthetic() {
			meaning = fmt.Sprintf("One of `%s`. %s", o.Desc.Name(), meaning)
		}
		rows = append(rows,
			[]string{fmt.Sprintf("`%s`", f.Desc.Name()), fmt.Sprint(f.Desc.Number()), typeOf(f.Desc), meaning})
	}
	if len(rows) == 0 {
		b.WriteString("No fields.\n\n")
	} else {
		writeTable(b, []string{"field", "number", "type", "meaning"}, rows)
	}
	for _, e := range m.Enums {
		enum(b, e)
	}
	for _, inner := range m.Messages {
		message(b, inner)
	}
}

func enum(b *strings.Builder, e *protogen.Enum) {
	fmt.Fprintf(b, "<a id=%q></a>\n\n#### %s\n\n%s", anchor(e.Desc), relative(e.Desc), prose(comment(e.Comments)))
	var rows [][]string
	for _, v := range e.Values {
		rows = append(rows,
			[]string{fmt.Sprintf("`%s`", v.Desc.Name()), fmt.Sprint(v.Desc.Number()), cell(comment(v.Comments))})
	}
	writeTable(b, []string{"value", "number", "meaning"}, rows)
}

// comment returns the text before a declaration and after it on the same line.
func comment(c protogen.CommentSet) string {
	return strings.TrimSpace(strip(string(c.Leading)) + "\n" + strip(string(c.Trailing)))
}

func typeOf(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return fmt.Sprintf("map of %s to %s", single(f.MapKey()), single(f.MapValue()))
	case f.IsList():
		return "repeated " + single(f)
	case f.HasOptionalKeyword():
		return "optional " + single(f)
	default:
		return single(f)
	}
}

func single(f protoreflect.FieldDescriptor) string {
	switch {
	case f.Message() != nil:
		return link(f.Message())
	case f.Enum() != nil:
		return link(f.Enum())
	default:
		return f.Kind().String()
	}
}

// link refers to a type of the contract; those of protobuf itself are only named.
func link(d protoreflect.Descriptor) string {
	if strings.HasPrefix(string(d.FullName()), "google.") {
		return fmt.Sprintf("`%s`", d.FullName())
	}
	return fmt.Sprintf("[%s](#%s)", relative(d), anchor(d))
}

// relative returns a name within its package: Outer.Inner.
func relative(d protoreflect.Descriptor) string {
	return strings.TrimPrefix(string(d.FullName()), string(d.ParentFile().Package())+".")
}

// anchor returns an anchor that is unique on the page, also where two packages have a type of the same name.
func anchor(d protoreflect.Descriptor) string {
	full := string(d.ParentFile().Package())
	return strings.ToLower(full[strings.LastIndexByte(full, '.')+1:] + "." + relative(d))
}
