//go:build !linux

package pluginhost

import "net"

// answers leaves the proof to the directory of the socket, which only the host's user can enter.
func answers(*net.UnixConn, int) error { return nil }
