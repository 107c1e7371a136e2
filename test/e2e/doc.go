// Package e2e drives the built binaries from outside: real processes, real sockets, the emulator and, with the build
// tag real, the real OpenClaw. It imports nothing of the host. The same scenarios run against both gateways.
package e2e
