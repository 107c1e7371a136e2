// Package stamp finds the time at the beginning of a line that a program wrote, so that a line which is shown with the
// time of its arrival has one time and not two.
package stamp

import "regexp"

// leading matches a date with a time of day, or a time of day with seconds, as logs of programs begin with; brackets
// and a zone may be around and behind it.
var leading = regexp.MustCompile(`^\[?(?:\d{4}[-/.]\d\d[-/.]\d\d[T ])?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?` +
	`(?:Z| ?[+-]\d\d:?\d\d)?\]?:?\s+`)

// Trim returns line without the time at its beginning. A line that has nothing else is returned unchanged.
func Trim(line string) string {
	at := leading.FindStringIndex(line)
	if at == nil || at[1] == len(line) {
		return line
	}
	return line[at[1]:]
}
