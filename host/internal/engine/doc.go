// Package engine owns the lifecycle.State of one gateway: one goroutine takes inputs from an inbox, asks lifecycle.Step
// what to do, and starts the effects, which run beside the loop. The result of an effect comes back as a
// lifecycle.Answer under its OpID. Nothing else holds a lock on the state; readers get snapshots.
//
// The engine declares the small ports that it needs (ports.go). The host connects the session, the probe, the plugin
// proxies and the repair executor to them.
package engine
