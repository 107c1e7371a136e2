package classifier

import (
	"context"

	"github.com/gatehost/gatehost/shared/plugin"
)

// Func is a Classifier that looks at each line alone; Seq is filled in. It may be called by several goroutines.
type Func func(plugin.Line) Verdict

var _ Classifier = Func(nil)

// Open is part of Classifier.
func (f Func) Open(context.Context, plugin.GatewayFacts, string) (Stream, error) {
	return lineByLine{f}, nil
}

type lineByLine struct{ judge Func }

func (s lineByLine) Classify(ctx context.Context, lines []NumberedLine) ([]Verdict, error) {
	out := make([]Verdict, 0, len(lines))
	for _, l := range lines {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		v := s.judge(l.Line)
		v.Seq = l.Seq
		out = append(out, v)
	}
	return out, nil
}

func (lineByLine) Close() error { return nil }
