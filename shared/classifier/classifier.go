// Package classifier is the kind of plugin that says what lines of a gateway's output mean. The contract is in
// shared/proto/gatehost/plugin/v1alpha1/classifier.proto.
package classifier

import (
	"context"

	"github.com/gatehost/gatehost/shared/plugin"
)

// Classifier opens one stream for each launch.
type Classifier interface {
	// Open begins a stream for the output of one launch; it lives until ctx is done or it is closed.
	Open(ctx context.Context, gw plugin.GatewayFacts, launchID string) (Stream, error)
}

// Stream is used by one goroutine. Batches are answered in order: Classify sends one and returns its verdicts.
type Stream interface {
	// Classify answers one verdict a line, in order. A failed call leaves the stream unusable; lines without a verdict
	// are sent again, with the same Seq, on a new stream.
	Classify(ctx context.Context, lines []NumberedLine) ([]Verdict, error)
	// Close ends the stream.
	Close() error
}

// NumberedLine is a line and its number, strictly increasing in one launch.
type NumberedLine struct {
	Seq  uint64
	Line plugin.Line
}

// Level is how loud a line is.
type Level int

// The levels, quietest first.
const (
	LevelDrop Level = iota + 1
	LevelDebug
	LevelInfo
	LevelWarn
	LevelError
)

// String is the word of the corpus and of `gatehost logs --level`.
func (l Level) String() string {
	switch l {
	case LevelDrop:
		return "drop"
	case LevelDebug:
		return "debug"
	case LevelInfo:
		return "info"
	case LevelError:
		return "error"
	default:
		return "warn"
	}
}

// Verdict is what a line means.
type Verdict struct {
	Seq     uint64
	Level   Level
	Text    string // "" means the line's own
	RuleID  string
	Symptom plugin.Symptom
	Tags    []string
	Stage   *Stage
}

// Stage is a timed step of a gateway's start (B301); TotalMs nil means that the line does not say.
type Stage struct {
	Name       string
	DurationMs float64
	TotalMs    *float64
}
