package httpapi

import (
	"context"
	"errors"
	"net"
)

// peer is the process at the other end of a connection, as the kernel reports it.
type peer struct {
	uid, pid, pgid int // pid and pgid 0: unknown
	err            error
	handleErr      error // why there is no handle of the process
}

type peerKey struct{}

// withPeer is an http.Server's ConnContext.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	uc, ok := c.(*admitted)
	if !ok {
		return context.WithValue(ctx, peerKey{}, peer{err: errors.New("not a unix socket")})
	}
	return context.WithValue(ctx, peerKey{}, uc.who)
}
