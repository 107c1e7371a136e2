// Package engine is the one owner of a gateway's lifecycle.State: one goroutine takes inputs from an inbox, asks
// lifecycle.Step what to do, and performs the effects beside the loop. What an effect finds comes back as an input that
// carries its OpID. Nobody else holds a lock on the state; readers get snapshots.
//
// The engine declares the small ports that it needs (ports.go); host.go plugs the session, the probe, the plugin proxies and
// the repair executor into them.
package engine
