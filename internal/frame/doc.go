// Package frame reads and writes the gateway's frames, and hides the secrets in them. It knows forms, not meanings:
// the session and the lifecycle decide what an event or an error means. Source: docs/openclaw.md §6 to §8, and
// frames captured from 2026.3.13, 2026.5.27 and 2026.9.6.
package frame
