package api

import (
	"context"
	"iter"

	"github.com/gatehost/gatehost/shared/control"
)

// Doctor asks the doctors of a gateway, and executes what they propose when the request asks for that. The repair goes
// on when the reader stops reading.
func (s *Service) Doctor(
	ctx context.Context, name string, req control.DoctorRequest,
) iter.Seq2[control.DoctorMessage, error] {
	return func(yield func(control.DoctorMessage, error) bool) {
		g, err := s.find(name)
		if err != nil {
			yield(control.DoctorMessage{}, err)
			return
		}
		listening := true // the end of the reader does not end a repair
		tell := func(m control.DoctorMessage) { listening = listening && yield(m, nil) }
		if err := g.Doctor(ctx, req, tell); err != nil && listening {
			yield(control.DoctorMessage{}, err)
		}
	}
}
