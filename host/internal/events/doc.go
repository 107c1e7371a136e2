// Package events holds what happened, as data, and hands it out. Views (status, metrics, journal, SSE) are folds
// over events and change nothing. The package imports nothing of gatehost.
//
// A Hub numbers events with cursors without holes and keeps the newest events. A subscription is a place in that
// memory, not a queue: publishing never waits, and a reader that falls behind loses the oldest events and learns
// how many.
package events
