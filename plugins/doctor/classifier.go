package openclawdoctor

import (
	"bytes"
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/plugin"
)

// ruleBlank is the rule of lines without a visible character (B291).
const ruleBlank = "blank"

// Classifier says what OpenClaw's lines mean.
type Classifier struct{ lines *stream }

var _ classifier.Classifier = (*Classifier)(nil)

// NewClassifier makes a classifier, of which a host opens streams.
func NewClassifier() *Classifier { return &Classifier{lines: newStream(0)} }

// Line returns what one line means, as the next line of one launch whose port is not known. For one goroutine; streams
// do not see it.
func (c *Classifier) Line(l plugin.Line) classifier.Verdict { return c.lines.line(l) }

// Open begins a stream, which has a state of its own. It never fails.
func (c *Classifier) Open(_ context.Context, gw plugin.GatewayFacts, _ string) (classifier.Stream, error) {
	return newStream(gw.Port), nil
}

// stream reads the lines of one launch.
type stream struct {
	port     int
	starting bool // before the gateway said that it is ready
	own      bool // the last line with an origin was a complaint of the gateway's own: what follows may belong to it
	folded   []byte
	tags     map[string][]string // by subsystem, so that a line costs no allocation
}

var _ classifier.Stream = (*stream)(nil)

func newStream(port int) *stream {
	return &stream{port: port, starting: true, tags: map[string][]string{}}
}

// Classify returns one verdict a line.
func (s *stream) Classify(ctx context.Context, lines []classifier.NumberedLine) ([]classifier.Verdict, error) {
	verdicts := make([]classifier.Verdict, 0, len(lines))
	for _, l := range lines {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		v := s.line(l.Line)
		v.Seq = l.Seq
		verdicts = append(verdicts, v)
	}
	return verdicts, nil
}

// Close does nothing.
func (s *stream) Close() error { return nil }

func (s *stream) line(l plugin.Line) classifier.Verdict {
	trimmed := trim(l.Text)
	if trimmed == "" {
		return classifier.Verdict{Level: classifier.LevelDrop, RuleID: ruleBlank}
	}
	text := stripColour(trimmed)
	if text == "" { // colour codes alone: not blank for the reference
		return classifier.Verdict{Level: classifier.LevelWarn}
	}
	s.folded = appendLower(s.folded[:0], text)
	shape := parse(text)
	v := classifier.Verdict{Level: shape.defaultLevel(l.Stream), Tags: s.tagsOf(shape.subsystem)}
	if text != trimmed {
		v.Text = text
	}
	if r := levelRuleOf(text); r != nil {
		v.Level, v.RuleID = r.level, r.id
		if r.shows(text) {
			v.Symptom = r.symptom
		}
	}
	v.Stage = stageOf(text, s.folded)
	if v.Symptom == plugin.NoSymptom {
		s.symptom(&v, shape)
	}
	s.follow(text, shape, l.Stream)
	return v
}

func levelRuleOf(text string) *levelRule {
	for i := range levelRules {
		if containsAll(text, levelRules[i].all) {
			return &levelRules[i]
		}
	}
	return nil
}

func (r *levelRule) shows(text string) bool {
	return r.shownBy == nil || slices.ContainsFunc(r.shownBy, func(w string) bool { return strings.Contains(text, w) })
}

func containsAll(text string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// symptom looks for a symptom in a line of the gateway's own (B056): agents quote anything.
func (s *stream) symptom(v *classifier.Verdict, shape parsed) {
	r, at := s.match()
	if r == nil || r.symptom != plugin.SymptomTokenMismatch && !s.isOwn(shape, s.folded[:at]) {
		return
	}
	v.Symptom = r.symptom
	if v.RuleID == "" {
		v.RuleID = r.id
	}
}

// match is the first rule that matches the folded line, and where.
func (s *stream) match() (*symptomRule, int) {
	for i := range symptomRules {
		r := &symptomRules[i]
		at := indexOfAny(s.folded, r.words)
		if at >= 0 && r.pattern != nil {
			at = -1
			if loc := r.pattern.FindIndex(s.folded); loc != nil {
				at = loc[0]
			}
		}
		if at >= 0 && (!r.port || s.isOwnPort()) {
			return r, at
		}
	}
	return nil, 0
}

func indexOfAny(text []byte, words []string) int {
	for _, w := range words {
		if i := bytes.Index(text, []byte(w)); i >= 0 { // the compiler keeps this conversion off the heap
			return i
		}
	}
	return -1
}

var portInLine = regexp.MustCompile(`(?::|\bport )(\d{1,5})\b`)

// isOwnPort reports whether a line names the gateway's own port: the gateway opens other ports as well, and works
// without them.
func (s *stream) isOwnPort() bool {
	if s.port == 0 {
		return true
	}
	named := portInLine.FindAllSubmatch(cutTime(s.folded), -1)
	for _, m := range named {
		if n, err := strconv.Atoi(string(m[1])); err == nil && n == s.port {
			return true
		}
	}
	return len(named) == 0
}

// cutTime removes a time stamp, whose colons look like ports.
func cutTime(folded []byte) []byte {
	if i := bytes.IndexByte(folded, ' '); i > 19 && i < 40 && folded[4] == '-' && folded[10] == 't' {
		return folded[i:]
	}
	return folded
}

// ownSubsystems are where the gateway speaks of its own start. "reload" is not: a refused reload leaves it running on
// the last good configuration (docs/openclaw.md §10).
var ownSubsystems = []string{
	"gateway", "config", "startup", "migration", "migrations", "state", "doctor", "cli",
	"openclaw", "entry",
}

// speech in front of a match: it quotes another speaker.
var speech = compile(`\b(?:said|says|asked|asks|replied|answered|tool call|tool result|prompt)\b`)

func (s *stream) isOwn(shape parsed, before []byte) bool {
	switch {
	case shape.subsystem != "":
		return isOwnSubsystem(shape.subsystem)
	case shape.json, shape.level != 0: // structured, so a plugin's
		return false
	case speech.Match(before):
		return false
	case shape.dated:
		return true
	default: // fatal messages are undated and have several lines; so has what agents print
		return s.starting || s.own
	}
}

func isOwnSubsystem(tag string) bool {
	first, _, _ := strings.Cut(tag, "/")
	return slices.Contains(ownSubsystems, first)
}

// follow remembers what later lines need.
func (s *stream) follow(text string, shape parsed, from plugin.Stream) {
	if shape.subsystem != "" || shape.dated || shape.json || shape.level != 0 {
		s.own = from != plugin.Stdout && (shape.dated && shape.subsystem == "" || isOwnSubsystem(shape.subsystem))
	}
	if shape.subsystem != "gateway" {
		return
	}
	_, said, _ := strings.Cut(text, "[gateway] ")
	switch {
	case said == "ready", strings.HasPrefix(said, "listening on ws://"): // the second is 2026.3
		s.starting, s.own = false, false
	case strings.HasPrefix(said, "restart mode:"), strings.HasSuffix(said, "; restarting"):
		s.starting = true
	}
}

// maxSubsystems bounds the table of a stream; a gateway has a few dozen.
const maxSubsystems = 256

func (s *stream) tagsOf(subsystem string) []string {
	if subsystem == "" || len(subsystem) > 64 {
		return nil
	}
	tags, ok := s.tags[subsystem]
	if !ok {
		tags = []string{subsystem}
		if len(s.tags) < maxSubsystems {
			s.tags[strings.Clone(subsystem)] = tags
		}
	}
	return slices.Clip(tags)
}
