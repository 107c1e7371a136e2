package repair

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gatehost/gatehost/internal/redact"
)

const (
	diffContext  = 3
	maxDiff      = 64 << 10 // bytes of all differences of a repair
	maxDiffLine  = 400      // bytes of one line in it
	maxDiffCells = 4 << 20  // lines before times lines after; beyond that everything counts as replaced
)

// change is a file before and after.
type change struct {
	path          string
	before, after snapshot
}

// diff returns the unified difference of files, secrets hidden, bounded. Empty when nothing differs.
func (e *Executor) diff(changes []change) string {
	var b strings.Builder
	for _, c := range changes {
		if c.before.exists == c.after.exists && string(c.before.data) == string(c.after.data) {
			if c.before.mode != c.after.mode && c.after.mode != 0 {
				fmt.Fprintf(&b, "mode %04o -> %04o %s\n", c.before.mode, c.after.mode, c.path)
			}
			continue
		}
		b.WriteString(fileHeader(c))
		if !isText(c.before.data) || !isText(c.after.data) {
			fmt.Fprintf(&b, "binary files differ: %d -> %d bytes\n", len(c.before.data), len(c.after.data))
			continue
		}
		b.WriteString(unified(string(c.before.data), string(c.after.data)))
	}
	return cut(e.redact(b.String()), maxDiff)
}

func fileHeader(c change) string {
	from, to := c.path, c.path
	if !c.before.exists {
		from = "/dev/null"
	}
	if !c.after.exists {
		to = "/dev/null"
	}
	return fmt.Sprintf("--- %s\n+++ %s\n", from, to)
}

func isText(b []byte) bool { return utf8.Valid(b) && !strings.ContainsRune(string(b), 0) }

// cut shortens a text at the end of a line.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:strings.LastIndexByte(s[:n], '\n')+1] + "... (cut)\n"
}

// lines splits a text; the pieces compare by their real text and show their masked one.
func lines(s string) (raw, shown []string) {
	if s == "" {
		return nil, nil
	}
	raw = strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	shown = strings.Split(strings.TrimSuffix(redact.Document(s), "\n"), "\n")
	for i := range shown {
		if len(shown[i]) > maxDiffLine {
			shown[i] = strings.ToValidUTF8(shown[i][:maxDiffLine], "") + "…"
		}
	}
	if len(shown) != len(raw) { // cannot happen; it shows nothing rather than too much
		shown = make([]string, len(raw))
		for i := range shown {
			shown[i] = redact.Mark
		}
	}
	return raw, shown
}

// edit is one line of a difference: ' ' both, '-' before only, '+' after only.
type edit struct {
	op   byte
	a, b int // positions before it
	text string
}

// unified returns the difference of two texts in hunks.
func unified(before, after string) string {
	edits := compare(before, after)
	var out strings.Builder
	for i := 0; i < len(edits); {
		if edits[i].op == ' ' {
			i++
			continue
		}
		from, to := max(0, i-diffContext), i+1
		for j := i; j < len(edits) && j < to+2*diffContext; j++ {
			if edits[j].op != ' ' {
				to = j + 1
			}
		}
		to = min(len(edits), to+diffContext)
		writeHunk(&out, edits[from:to])
		i = to
	}
	return out.String()
}

func writeHunk(out *strings.Builder, hunk []edit) {
	var a, b int
	for _, e := range hunk {
		if e.op != '+' {
			a++
		}
		if e.op != '-' {
			b++
		}
	}
	fmt.Fprintf(out, "@@ -%s +%s @@\n", hunkRange(hunk[0].a, a), hunkRange(hunk[0].b, b))
	for _, e := range hunk {
		out.WriteByte(e.op)
		out.WriteString(e.text)
		out.WriteByte('\n')
	}
}

func hunkRange(start, n int) string {
	if n == 0 {
		return fmt.Sprintf("%d,0", start)
	}
	return fmt.Sprintf("%d,%d", start+1, n)
}

// compare finds the longest common subsequence of lines.
func compare(before, after string) []edit {
	a, showA := lines(before)
	b, showB := lines(after)
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	var out []edit
	for i := range head {
		out = append(out, edit{' ', i, i, showA[i]})
	}
	out = append(out, middle(a[head:len(a)-tail], b[head:len(b)-tail], showA[head:], showB[head:], head)...)
	for i := range tail {
		out = append(out, edit{' ', len(a) - tail + i, len(b) - tail + i, showA[len(a)-tail+i]})
	}
	return out
}

func middle(a, b, showA, showB []string, offset int) []edit {
	var out []edit
	i, j := 0, 0
	if len(a)*len(b) <= maxDiffCells {
		common := table(a, b)
		for i < len(a) && j < len(b) {
			switch {
			case a[i] == b[j]:
				out = append(out, edit{' ', offset + i, offset + j, showA[i]})
				i, j = i+1, j+1
			case common[i+1][j] >= common[i][j+1]:
				out = append(out, edit{'-', offset + i, offset + j, showA[i]})
				i++
			default:
				out = append(out, edit{'+', offset + i, offset + j, showB[j]})
				j++
			}
		}
	}
	for ; i < len(a); i++ {
		out = append(out, edit{'-', offset + i, offset + j, showA[i]})
	}
	for ; j < len(b); j++ {
		out = append(out, edit{'+', offset + i, offset + j, showB[j]})
	}
	return out
}

// table[i][j] is the length of the longest common subsequence of a[i:] and b[j:].
func table(a, b []string) [][]int32 {
	t := make([][]int32, len(a)+1)
	for i := range t {
		t[i] = make([]int32, len(b)+1)
	}
	for i, line := range slices.Backward(a) {
		for j, other := range slices.Backward(b) {
			if line == other {
				t[i][j] = t[i+1][j+1] + 1
			} else {
				t[i][j] = max(t[i+1][j], t[i][j+1])
			}
		}
	}
	return t
}
