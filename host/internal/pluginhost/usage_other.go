//go:build !linux

package pluginhost

// awaitExit does not wait: what a plugin leaves in its group is killed while it runs, and may go on when it ended by
// itself.
func awaitExit(int) {}

// usageOf returns the resident memory of the process alone.
func usageOf(leader int, _ uint64) usage { return usage{rss: rssOf(leader)} }
