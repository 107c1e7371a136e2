// Package process names processes so that a recycled pid is never mistaken for them, and ends whole trees of them.
//
// A pid alone names nothing: an Identity is a pid, the start time that the kernel tells, and the boot in which both
// hold. It imports the standard library and golang.org/x/sys only, because gatehost-shim is built on it.
package process
