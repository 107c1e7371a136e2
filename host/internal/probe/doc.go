// Package probe examines a port: is it free, which process holds it, would a connection work, is it a gateway. It
// uses HTTP for readiness, so that a clean start opens exactly one WebSocket (B066); it opens one of its own only
// to find out what a foreign listener is.
package probe
