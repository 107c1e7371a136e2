//go:build !linux

package pluginhost

import "net"

// answers proves nothing: it relies on the socket's directory, which only the host's user can enter.
func answers(*net.UnixConn, int) error { return nil }
