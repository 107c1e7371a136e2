package docs

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// counts are how many faults of a check are left, by "check file".
type counts map[string]int

func parseCounts(text string) (counts, error) {
	c := counts{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		n, key, ok := strings.Cut(line, " ")
		v, err := strconv.Atoi(n)
		if !ok || err != nil {
			return nil, fmt.Errorf("cannot understand %q: want COUNT CHECK FILE", line)
		}
		c[key] = v
	}
	return c, nil
}

func (c counts) String() string {
	var b strings.Builder
	b.WriteString("# Faults that are left: count, check, file. A file that is not here has none. " +
		"The sum can only shrink.\n")
	for _, key := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(&b, "%d %s\n", c[key], key)
	}
	return b.String()
}

func (c counts) sum(check string) int {
	n := 0
	for key, v := range c {
		if strings.HasPrefix(key, check+" ") {
			n += v
		}
	}
	return n
}

func count(check string, faults []fault) counts {
	c := counts{}
	for _, f := range faults {
		c[check+" "+f.file]++
	}
	return c
}

// beyond are the faults of files that have more than the ratchet allows.
func (c counts) beyond(check string, faults []fault) []fault {
	now := count(check, faults)
	var out []fault
	for _, f := range faults {
		if key := check + " " + f.file; now[key] > c[key] {
			out = append(out, f)
		}
	}
	return out
}

// tightened is the ratchet with what is left of a check, or an error when more is left than before.
func (c counts) tightened(check string, faults []fault) (counts, error) {
	now := count(check, faults)
	if was, is := c.sum(check), now.sum(check); is > was {
		return nil, fmt.Errorf("%d faults of the check %s are left, and the ratchet allows %d: it does not grow",
			is, check, was)
	}
	out := maps.Clone(c)
	maps.DeleteFunc(out, func(key string, _ int) bool { return strings.HasPrefix(key, check+" ") })
	maps.Copy(out, now)
	return out, nil
}
