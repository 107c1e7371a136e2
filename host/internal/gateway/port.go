package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/peer"
	"github.com/gatehost/gatehost/host/internal/probe"
	"github.com/gatehost/gatehost/host/internal/session"
)

// port probes the gateway's port.
type port struct{ core *core }

func (p port) Holder(ctx context.Context) (lifecycle.Holder, lifecycle.Problem, error) {
	cfg := p.core.conf()
	p.core.launches.probed.Store(cfg)
	holders, err := probe.Holders(ctx, cfg.Port)
	if err != nil {
		return 0, lifecycle.Problem{}, err
	}
	if len(holders) == 0 {
		return lifecycle.HolderNone, lifecycle.Problem{}, nil
	}
	who := holders[0].String()
	prove := func(ctx context.Context, conn net.Conn) error {
		return peer.Rule{Trust: peer.Trust(cfg.TrustPeer)}.Prove(ctx, conn)
	}
	is, err := probe.IsGateway(ctx, cfg.Port, prove, p.core.tlsOf(cfg))
	if ce, untrusted := errors.AsType[*session.ConnectError](err); untrusted {
		return lifecycle.HolderStranger, lifecycle.Problem{Code: ce.Code, Message: ce.Message, Hint: ce.Hint}, nil
	}
	if problem, refused := peerProblem(err, p.core.name, cfg.Port); refused {
		return lifecycle.HolderStranger, problem, nil
	}
	if is {
		return lifecycle.HolderGateway, lifecycle.Problem{
			Code:    "port_conflict",
			Message: fmt.Sprintf("port %d is held by a gateway that this host did not start: %s", cfg.Port, who),
			Hint: fmt.Sprintf("%s; or set gateways.%s.on_conflict = \"attach\" to supervise its session only, or another "+
				"gateways.%s.port", holders[0].End(cfg.Port), p.core.name, p.core.name),
		}, nil
	}
	return lifecycle.HolderStranger, lifecycle.Problem{
		Code:    "port_conflict",
		Message: fmt.Sprintf("port %d is held by %s, which is no gateway", cfg.Port, who),
		Hint: fmt.Sprintf("%s; or set another gateways.%s.port; gatehost never signals a process that it did not start",
			holders[0].End(cfg.Port), p.core.name),
	}, nil
}

// Free looks at the port that the configuration names now: the port may have been changed since the error.
func (p port) Free(ctx context.Context) (bool, error) { return probe.Free(ctx, p.core.conf().Port) }

func (p port) Ready(ctx context.Context, port int) lifecycle.Readiness {
	cfg := p.core.asLaunched()
	switch probe.ReadyNow(ctx, cmp.Or(port, cfg.Port), p.core.peerRule().Prove, p.core.tlsOf(cfg)) {
	case probe.Ready:
		return lifecycle.ReadinessReady
	case probe.Open:
		return lifecycle.ReadinessOpen
	case probe.Starting:
		return lifecycle.ReadinessStarting
	case probe.Closed:
		return lifecycle.ReadinessClosed
	default:
		return lifecycle.ReadinessClosed
	}
}
