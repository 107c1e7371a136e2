package tomltext

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/fault"
)

// Fault is one thing that is wrong with a TOML file.
type Fault struct {
	File      string // as the operator named it
	Line, Col int    // from 1; 0 when not known
	Key       string // dotted; "" for the whole file
	Message   string
	Hint      string // imperative; "" when there is nothing to advise
}

// String returns "file:line:col: key: message (hint)", without the parts that are not known. It is one line, and what
// looks like a credential in it is hidden: names, keys and words of a file may be anything.
func (f Fault) String() string { return redact.Shapes(redact.PrintableLine(f.whole())) }

func (f Fault) whole() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
		if f.Col > 0 {
			fmt.Fprintf(&b, ":%d", f.Col)
		}
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString(f.Message)
	if f.Hint != "" {
		b.WriteString(" (" + f.Hint + ")")
	}
	return b.String()
}

// Faults is everything that is wrong with a file, in its order. errors.Is finds fault.ErrInvalidArgument in it.
type Faults []Fault

// Error returns one line for each fault.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the meaning; the hints are part of the text already.
func (fs Faults) Unwrap() error { return fault.New(fault.InvalidArgument, "invalid file") }

// Err returns nil when there are no faults.
func (fs Faults) Err() error {
	if len(fs) == 0 {
		return nil
	}
	return fs
}

// At reports whether there is a fault at a key or inside it.
func (fs Faults) At(key []string) bool {
	name := Dotted(key)
	return slices.ContainsFunc(fs, func(f Fault) bool { return f.Key == name || strings.HasPrefix(f.Key, name+".") })
}

// Sort sorts the faults by their place in the file.
func (fs Faults) Sort() {
	slices.SortStableFunc(fs, func(a, b Fault) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
}

// nearest returns the known word that a misspelt one most likely meant; "" when none is similar.
func nearest(word string, known []string) string {
	best, bestDistance := "", len(word)/3+2
	for _, k := range known {
		if d := distance(strings.ToLower(word), k, bestDistance); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance counts the letters to insert, remove, replace or swap with their neighbour; at most limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	var before, prev, row []int
	for i := range len(a) + 1 {
		before, prev, row = prev, row, make([]int, len(b)+1)
		for j := range row {
			switch {
			case i == 0:
				row[j] = j
				continue
			case j == 0:
				row[j] = i
				continue
			}
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return min(row[len(b)], limit)
}

// DidYouMean returns a hint for a misspelt word; "" when no known word is similar.
func DidYouMean(word string, known []string) string {
	if n := nearest(word, known); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return ""
}
