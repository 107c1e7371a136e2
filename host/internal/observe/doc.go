// Package observe derives from the steps of one gateway's lifecycle what people and programs look at: the waterfall of
// a start, reconnect counts, the last exit, unclean ends, and every condition. Record is a pure fold: Step and See take
// a record and return the next one, with the facts that follow. The engine's owner calls them and publishes the record
// in its snapshot; package gateway turns facts into events, metrics and log lines, in one place.
//
// The package has no clock, lock, goroutine or I/O. When a record changes by time alone, Record.Due says at what time.
// It must not import engine or gateway.
package observe
