//go:build !linux && !darwin

package httpapi

import (
	"net"

	"github.com/gatehost/gatehost/shared/fault"
)

const peersAreKnown = false

func peerOf(*net.UnixConn) peer { return peer{err: fault.ErrUnsupported} }
