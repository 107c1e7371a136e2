package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/peer"
	"github.com/gatehost/gatehost/host/internal/session"
)

// Codes of the problems with the peer of a connection.
const (
	codeConflict    = "port_conflict"
	codePeerUnknown = "peer_unknown"
)

// peerRule says who must be at the other end of a connection to the gateway now.
func (c *core) peerRule() peer.Rule { return ruleOf(c.conf().TrustPeer, c.State()) }

// ruleOf returns the rule for a gateway in a state: a process of the launch, or, for an attached gateway and a launcher
// that tells no pid, a program of a trusted user.
func ruleOf(trust string, s lifecycle.State) peer.Rule {
	r := peer.Rule{Trust: peer.Trust(trust)}
	if s.Launch != "" {
		r.Launch = s.Process.PID
	}
	return r
}

// provePeer returns the proof of a rule for a session on a port.
func (c *core) provePeer(rule peer.Rule, port int) func(context.Context, net.Conn) error {
	return func(ctx context.Context, conn net.Conn) error {
		return refusedPeer(rule.Prove(ctx, conn), c.name, port)
	}
}

// refusedPeer turns the error of a proof into the one of a session. It leaves an error that refuses no program as it
// is: the session knows what a deadline or a closed connection means.
func refusedPeer(err error, gateway string, port int) error {
	problem, refused := peerProblem(err, gateway, port)
	if !refused {
		return err
	}
	return &session.ConnectError{
		Code: problem.Code, Message: problem.Message, Hint: problem.Hint, Final: problem.Fatal, Cause: err,
	}
}

// peerProblem turns the error of a proof into a problem. It is false when the proof refused no program.
//
// A stranger of another user is tried again, as any other conflict about the port: the next attempt refuses it again. A
// stranger of our own user beside a launch is fatal: the next attempt would find it on the port, and attach to it.
func peerProblem(err error, gateway string, port int) (lifecycle.Problem, bool) {
	trust := fmt.Sprintf("gateways.%s.trust_peer", gateway)
	if stranger, ok := errors.AsType[*peer.Stranger](err); ok {
		return lifecycle.Problem{
			Code:    codeConflict,
			Message: fmt.Sprintf("port %d is held by %s; gatehost sent it no token and no signature", port, stranger.Name()),
			Hint: fmt.Sprintf("see who listens: %s; end that program, or set another gateways.%s.port; if it is your gateway, "+
				"set %s = \"%s\" in config.toml", peer.Search(port), gateway, trust, needs(stranger)),
			Fatal: stranger.Launch != 0 && stranger.Owner.Own,
		}, true
	}
	if errors.Is(err, peer.ErrUnknown) {
		return lifecycle.Problem{
			Code: codePeerUnknown,
			Message: fmt.Sprintf("cannot connect to the gateway on port %d: %v; gatehost sent no token and no signature", port,
				err),
			Hint: fmt.Sprintf("if no other user can listen on that port, set %s = \"any\" in config.toml; else run gatehost "+
				"and the gateway as the same user", trust),
			Fatal: true,
		}, true
	}
	return lifecycle.Problem{}, false
}

// needs returns the least trust that a stranger's program needs.
func needs(s *peer.Stranger) peer.Trust {
	if s.Owner.UID == 0 {
		return peer.TrustRoot
	}
	return peer.TrustAny
}
