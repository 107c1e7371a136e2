// Package httpapi serves the control API (docs/reference/api.md) on a unix socket: one table of routes, access by the credentials of the
// peer, problem+json for errors, server-sent events and NDJSON for streams. It decides nothing: it asks the small ports that
// it declares, which host.go binds.
package httpapi
