//go:build !linux && !darwin

package httpapi

import (
	"net"

	"github.com/gatehost/gatehost/shared/fault"
)

const peersAreKnown = false

func peerOf(*net.UnixConn) (who peer, gone func() bool) {
	return peer{err: fault.ErrUnsupported}, func() bool { return false }
}
