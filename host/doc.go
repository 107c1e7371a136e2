// Package host is the facade of gatehost: load a configuration, make a Host, run it. host.go is the only composition root: it
// plugs the packages under internal/ into each other, and nothing else knows more than its own room.
package host
