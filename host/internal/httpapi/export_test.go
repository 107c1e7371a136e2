package httpapi

import "net"

// Door returns the listener that admits connections, for tests.
func Door(l net.Listener, s *Server) net.Listener { return newDoor(l, s) }
