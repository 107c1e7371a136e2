// Package events is what happened, as data, and the fan-out of it. Views (status, metrics, journal, SSE) are folds over events and
// change nothing. It imports nothing of ours.
//
// A Hub numbers events with cursors that have no holes and keeps the newest ones. A subscription is a place in that memory, not
// a queue: publishing never waits, a reader that falls behind loses the oldest and is told how many.
package events
