// Package server is what gatehost-shim runs: the parent of one gateway. It reads both pipes always, keeps the exit, and
// ends the gateway's whole tree when asked, when orphaned, or when the gateway has ended by itself.
//
// It must stay small: the standard library and golang.org/x/sys only, no os/exec (its Wait fights with the reaper), no
// net/http, under 5 MB of anonymous memory, and no wake-up while nothing happens.
package server
