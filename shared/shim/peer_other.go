//go:build !linux && !darwin

package shim

import "net"

// PeerUID is ErrUnsupported here.
func PeerUID(net.Conn) (int, error) { return 0, ErrUnsupported }
