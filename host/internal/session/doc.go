// Package session holds one WebSocket session with a gateway: dial, challenge, connect, then calls, events and
// signs of life. It reports facts and does not know what they mean for the lifecycle. One reader and one writer
// goroutine own the socket; everything that arrives is untrusted and bounded. Sources: docs/openclaw.md §6 to §9,
// docs/behaviour.md §6 to §8.
package session
