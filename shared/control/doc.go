// Package control is the control API of a running host: the types of its JSON (docs/reference/api.md), and a client
// over its unix socket. Times are RFC 3339 in UTC; durations are integers whose name ends in Ms; an unknown value is
// absent or null, never 0.
package control
