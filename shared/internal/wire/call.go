package wire

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/fault"
)

// Ask makes a call with one answer and decodes it. The connection hears how it ended, see fault.Outcome.
func Ask[Req, Res, T any](
	ctx context.Context, call func(context.Context, Req, ...grpc.CallOption) (Res, error), req Req,
	decode func(Res) (T, error),
) (T, error) {
	var (
		got     T
		outcome fault.Outcome
	)
	r, err := call(ctx, req, &outcome)
	if err == nil {
		got, err = decode(r)
	}
	err = fault.FromStatus(err)
	outcome.Tell(err)
	return got, err
}

// Empty decodes an answer without content.
func Empty[Res any](Res) (struct{}, error) { return struct{}{}, nil }

// Receive makes a call with a stream of answers and gives each of them to take, until take says that it was the last
// one, or fails. early is the error of a stream that ends before its last answer; nil: it may end early. The connection
// hears how the call ended, see fault.Outcome.
func Receive[Req, Res any](
	ctx context.Context, call func(context.Context, Req, ...grpc.CallOption) (grpc.ServerStreamingClient[Res], error),
	req Req, early error, take func(*Res) (last bool, err error),
) error {
	ctx, cancel := context.WithCancel(ctx) // ends the stream after its last answer, or when take fails
	defer cancel()
	var outcome fault.Outcome
	err := receive(ctx, call, req, &outcome, early, take)
	outcome.Tell(err)
	return err
}

func receive[Req, Res any](
	ctx context.Context, call func(context.Context, Req, ...grpc.CallOption) (grpc.ServerStreamingClient[Res], error),
	req Req, outcome grpc.CallOption, early error, take func(*Res) (last bool, err error),
) error {
	stream, err := call(ctx, req, outcome)
	if err != nil {
		return fault.FromStatus(err)
	}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return early
		}
		if err != nil {
			return fault.FromStatus(err)
		}
		if last, err := take(r); last || err != nil {
			return err
		}
	}
}
