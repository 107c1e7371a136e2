package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// packageField is the number of FileDescriptorProto.package.
const packageField = 2

// about returns the comment of a file: the text before its package statement.
func about(f *protogen.File) string {
	at := f.Desc.SourceLocations().ByPath(protoreflect.SourcePath{packageField})
	return strip(at.LeadingComments)
}

// strip removes the space that follows // in each line.
func strip(comment string) string {
	lines := strings.Split(strings.TrimRight(comment, "\n "), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(strings.TrimPrefix(l, " "), " ")
	}
	return strings.Join(lines, "\n")
}

// blocks returns the paragraphs of a comment. What it says about errors is a paragraph of its own.
func blocks(text string) [][]string {
	var out [][]string
	begin := true
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case strings.TrimSpace(line) == "":
			begin = true
			continue
		case begin || strings.HasPrefix(line, "Errors:"):
			out = append(out, nil)
		}
		begin = false
		out[len(out)-1] = append(out[len(out)-1], line)
	}
	return out
}

var (
	columnGap = regexp.MustCompile(` {2,}`)
	header    = []string{"method", "deadline", "idempotent", "concurrent calls", "a miss means"}
)

// tableOf reads a paragraph that is a table: indented, columns two spaces or more apart, the first row the header.
// It returns nil for any other paragraph.
func tableOf(block []string) ([][]string, error) {
	if first := cells(block[0]); !strings.HasPrefix(block[0], "  ") || len(first) != len(header) ||
		first[0] != header[0] {
		return nil, nil
	}
	var rows [][]string
	for _, line := range block[1:] {
		row := cells(line)
		if len(row) != len(header) {
			return nil, fmt.Errorf("this row of the table of deadlines has %d columns, want %d two spaces apart: %s",
				len(row), len(header), strings.TrimSpace(line))
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func cells(line string) []string { return columnGap.Split(strings.TrimSpace(line), -1) }

// prose returns a comment as Markdown.
func prose(text string) string {
	var b strings.Builder
	for _, block := range blocks(text) {
		rows, _ := tableOf(block) // collect has reported its errors
		switch {
		case rows != nil:
			writeTable(&b, header, rows)
		// laid out by hand
		case !slices.ContainsFunc(block, func(l string) bool { return !strings.HasPrefix(l, "  ") }):
			b.WriteString("```text\n" + strings.Join(block, "\n") + "\n```\n\n")
		default:
			b.WriteString(wrapped(escape(strings.Join(trimmed(block), " "))) + "\n\n")
		}
	}
	return b.String()
}

// maxColumns is the width of a line of a paragraph.
const maxColumns = 120

// wrapped breaks a paragraph into lines. A word that looks like the mark of a list or a heading does not begin one:
// it stays with the word before it.
func wrapped(text string) string {
	var words []string
	for w := range strings.FieldsSeq(text) {
		if last := len(words) - 1; last >= 0 && strings.ContainsAny(w[:1], "-+*#>|0123456789") {
			words[last] += " " + w
		} else {
			words = append(words, w)
		}
	}
	var b strings.Builder
	column := 0
	for i, w := range words {
		switch n := utf8.RuneCountInString(w); {
		case i > 0 && column+1+n > maxColumns:
			b.WriteString("\n" + w)
			column = n
		case i > 0:
			b.WriteString(" " + w)
			column += 1 + n
		default:
			b.WriteString(w)
			column = n
		}
	}
	return b.String()
}

// cell returns a comment within a table.
func cell(text string) string {
	var parts []string
	for _, block := range blocks(text) {
		parts = append(parts, escape(strings.Join(trimmed(block), " ")))
	}
	return strings.Join(parts, "<br>")
}

func trimmed(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = strings.TrimSpace(l)
	}
	return out
}

var special = strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", "&lt;", ">", "&gt;", "*", `\*`, "[", `\[`, "]", `\]`)

// escape prevents Markdown from reading a comment as anything but words; text between back-ticks stays as it is.
func escape(s string) string {
	parts := strings.Split(s, "`")
	for i := range parts {
		if i%2 == 0 || i == len(parts)-1 {
			parts[i] = special.Replace(parts[i])
		}
	}
	return strings.Join(parts, "`")
}

func writeTable(b *strings.Builder, head []string, rows [][]string) {
	b.WriteString("| " + strings.Join(head, " | ") + " |\n|" + strings.Repeat("---|", len(head)) + "\n")
	for _, r := range rows {
		b.WriteString("| " + strings.Join(r, " | ") + " |\n")
	}
	b.WriteString("\n")
}
