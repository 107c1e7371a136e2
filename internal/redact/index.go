package redact

import "strings"

// index finds many texts in one pass. Its time depends on the length of the searched text, not on the number of texts.
type index struct {
	bits    [64]uint64 // a Bloom filter of the keys, so that most places cost no lookup
	by      map[uint32][]form
	forms   []form
	windows map[string]bool // all parts of minValue bytes of the forms, for edges
}

// markIndex finds which groups of marks occur in a text, in any case.
type markIndex struct {
	bits [64]uint64 // as in index
	by   map[uint32][]form
}

// form is a text to find.
type form struct {
	text  string
	group uint8
}

// Groups of forms.
const (
	exact  uint8 = 1 << iota // the match is the secret
	base64                   // the secret is all of the base64 around the match
	naming                   // a mark: patterns of names have to look
	shaped                   // a mark: patterns of shapes have to look
)

const keyLength = 3 // bytes of a text by which it is found

func newIndex(forms []form) *index {
	x := &index{by: map[uint32][]form{}, forms: forms, windows: map[string]bool{}}
	for _, f := range forms {
		for i := 0; i+minValue <= len(f.text); i++ {
			x.windows[f.text[i:i+minValue]] = true
		}
		if len(f.text) < keyLength {
			continue
		}
		k := keyAt(f.text, 0)
		h := hash(k)
		x.bits[h>>6] |= 1 << (h & 63)
		x.by[k] = append(x.by[k], f)
	}
	return x
}

func keyAt(s string, i int) uint32 { return uint32(s[i]) | uint32(s[i+1])<<8 | uint32(s[i+2])<<16 }

func hash(k uint32) uint32 { return k * 2654435761 >> 20 } // 12 bits, by Knuth's multiplicative method

func newMarks(forms []form) *markIndex {
	x := &markIndex{by: map[uint32][]form{}}
	for _, f := range forms {
		k := keyAt(f.text, 0) | anyCase
		h := hash(k)
		x.bits[h>>6] |= 1 << (h & 63)
		x.by[k] = append(x.by[k], f)
	}
	return x
}

// anyCase makes one key of letters in both cases. It makes one of some other characters too, whose texts differ then.
const anyCase = 0x202020

// groups returns the groups of all marks that occur in s.
func (x *markIndex) groups(s string) uint8 {
	var out uint8
	for i := 0; i+keyLength <= len(s); i++ {
		k := keyAt(s, i) | anyCase
		if h := hash(k); x.bits[h>>6]&(1<<(h&63)) == 0 {
			continue
		}
		for _, f := range x.by[k] {
			if out&f.group == 0 && len(s)-i >= len(f.text) && strings.EqualFold(s[i:i+len(f.text)], f.text) {
				out |= f.group
			}
		}
	}
	return out
}

// span is a part of a text, in bytes.
type span struct{ from, to int }

// find returns where the forms occur in s, in order; spans do not overlap. Of two forms at one place the one that was
// given first counts.
func (x *index) find(s string) []span {
	var out []span
	for i := 0; i+keyLength <= len(s); i++ {
		k := keyAt(s, i)
		if h := hash(k); x.bits[h>>6]&(1<<(h&63)) == 0 {
			continue
		}
		for _, f := range x.by[k] {
			if !strings.HasPrefix(s[i:], f.text) {
				continue
			}
			at := span{i, i + len(f.text)}
			if f.group == base64 {
				at = run(s, at)
			}
			if n := len(out); n > 0 && at.from < out[n-1].to {
				at.from = out[n-1].to
			}
			out = append(out, at)
			i = at.to - 1
			break
		}
	}
	return out
}

// edges finds the part of a form with which s ends or begins: the rest stands in the line after or before, or was cut
// off. A part has to be a third of the form, so of two parts one is hidden at least.
func (x *index) edges(s string) []span {
	if len(s) < minValue {
		return nil
	}
	var out []span
	if x.windows[s[len(s)-minValue:]] {
		for _, f := range x.forms {
			n := max(minValue, len(f.text)/3)
			if n > len(s) || n > len(f.text) {
				continue
			}
			if i := strings.Index(f.text, s[len(s)-n:]); i >= 0 && strings.HasSuffix(s, f.text[:i+n]) {
				out = append(out, span{len(s) - i - n, len(s)})
			}
		}
	}
	if x.windows[s[:minValue]] {
		for _, f := range x.forms {
			n := max(minValue, len(f.text)/3)
			if n > len(s) || n > len(f.text) {
				continue
			}
			if i := strings.LastIndex(f.text, s[:n]); i >= 0 && strings.HasPrefix(s, f.text[i:]) {
				out = append(out, span{0, len(f.text) - i})
			}
		}
	}
	return out
}

// run extends a span over the base64 around it.
func run(s string, at span) span {
	for at.from > 0 && isBase64(s[at.from-1]) {
		at.from--
	}
	for at.to < len(s) && (isBase64(s[at.to]) || s[at.to] == '=') {
		at.to++
	}
	return at
}

func isBase64(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("+/-_", c) >= 0
}
