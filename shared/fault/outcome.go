package fault

import "google.golang.org/grpc"

// Outcome is a call option by which a client of the contract tells its connection how a call ended. Only the client
// knows whether an answer keeps the contract, and whether the receiver of a stream could take it. The host's connection
// to a plugin counts its calls by it; a connection of gRPC ignores it. Used by one goroutine at a time.
type Outcome struct {
	grpc.EmptyCallOption

	heard func(error)
}

// Tell reports how the call ended, nil for success; on a stream in both directions, how one exchange ended.
func (o *Outcome) Tell(err error) {
	if o.heard != nil {
		o.heard(err)
	}
}

// Hear calls f with the outcome of a call. It reports whether the options of the call promise an outcome.
func Hear(opts []grpc.CallOption, f func(error)) bool {
	for _, opt := range opts {
		if o, ok := opt.(*Outcome); ok {
			o.heard = f
			return true
		}
	}
	return false
}
