package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// packageField is the number of FileDescriptorProto.package.
const packageField = 2

// about is the comment of a file: what stands before its package statement.
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

// blocks are the paragraphs of a comment. What it says of errors is a paragraph of its own.
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

// tableOf reads a paragraph that is a table: indented, columns two spaces or more apart, the first row the header. Nil
// when it is none.
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

// prose is a comment as Markdown.
func prose(text string) string {
	var b strings.Builder
	for _, block := range blocks(text) {
		rows, _ := tableOf(block) // collect has shown its errors
		switch {
		case rows != nil:
			writeTable(&b, header, rows)
		case !slices.ContainsFunc(block, func(l string) bool { return !strings.HasPrefix(l, "  ") }):
			// laid out by hand
			b.WriteString("```text\n" + strings.Join(block, "\n") + "\n```\n\n")
		default:
			b.WriteString(escape(strings.Join(trimmed(block), " ")) + "\n\n")
		}
	}
	return b.String()
}

// cell is a comment within a table.
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

// escape keeps Markdown from reading a comment as anything but words; what stands between back-ticks is left alone.
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
