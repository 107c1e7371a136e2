//go:build linux || darwin

package shim

import "net"

// PeerIsUs refuses a socket of another user.
func PeerIsUs(conn net.Conn) error { return peerIsUs(conn) }
