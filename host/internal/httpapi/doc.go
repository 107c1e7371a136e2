// Package httpapi serves the control API (docs/reference/api.md) on a unix socket: one table of routes, access by the
// credentials of the peer, problem+json for errors, server-sent events and NDJSON for streams. It decides nothing: it
// calls the small ports that it declares.
//
// # Errors
//
// A code, a message and a hint have one type at each side of a boundary:
//
//	fault.Error        a Go error inside the host, and between the host and a plugin. The code says what a caller
//	                   can do (retry, report, choose another way).
//	tomltext.Fault     one thing that is wrong in a configuration file, with its line; Faults are all of them.
//	lifecycle.Problem  data, not an error: why a gateway is in its state. It is part of lifecycle.State.
//	frame.Error        a Go error: the gateway answered a call with an error. Its codes are the gateway's.
//	control.Failure    the JSON of lifecycle.Problem, in a status, an event or an outcome.
//	control.RPCError   the JSON of frame.Error, in the answer to an RPC. The request itself succeeded.
//	control.Problem    the JSON of any other error of a request, as application/problem+json. It has an HTTP status.
//
// This package makes a control.Problem of every error that a port returns, except a *control.RPCError; see problemOf.
package httpapi
