package classifier_test

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/internal/wiretest"
	"github.com/gatehost/gatehost/shared/plugin"
)

func TestFunctionIsAClassifierThatNumbersItsVerdicts(t *testing.T) {
	f := classifier.Func(func(l plugin.Line) classifier.Verdict {
		return classifier.Verdict{Level: classifier.LevelError, Text: l.Text + "!"}
	})
	c := classifier.NewClient(wiretest.Dial(t, func(s grpc.ServiceRegistrar) { classifier.RegisterServer(s, f) }))
	stream, err := c.Open(t.Context(), plugin.GatewayFacts{Name: "main"}, "launch")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	got, err := stream.Classify(t.Context(), []classifier.NumberedLine{
		{Seq: 7, Line: plugin.Line{Cursor: 1, Stream: plugin.Stderr, Text: "a"}},
		{Seq: 9, Line: plugin.Line{Cursor: 2, Stream: plugin.Stderr, Text: "b"}},
	})
	if err != nil || len(got) != 2 || got[0].Seq != 7 || got[1].Seq != 9 || got[1].Text != "b!" ||
		got[0].Level != classifier.LevelError {
		t.Errorf("verdicts = %+v, %v", got, err)
	}
}

func TestFunctionIsNotAskedForACallThatIsOver(t *testing.T) {
	stream, err := classifier.Func(func(plugin.Line) classifier.Verdict {
		t.Error("asked all the same")
		return classifier.Verdict{}
	}).Open(t.Context(), plugin.GatewayFacts{}, "launch")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := stream.Classify(ctx, []classifier.NumberedLine{{Seq: 1}}); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
}
