// Package reload puts another configuration in force while the host runs: it plans, which changes nothing, and applies, one reload at a time.
// What concerns a process that runs counts with its next launch.
package reload
