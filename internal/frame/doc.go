// Package frame reads and writes the gateway's frames, and hides the secrets in them. It knows shapes, not meanings: what an
// event or an error means is decided by the session and the lifecycle. Source: docs/openclaw.md §6 to §8, frames captured from
// 2026.3.13, 2026.5.27 and 2026.9.6.
package frame
