// Package sandbox restricts a plugin before it begins: it sees the files that it was given, its own data directory
// and what every program of the system needs, connects to no TCP port, signals no process outside, gains no
// privilege by a set-uid program, and leaves no core.
//
// The host then does not start the plugin itself but its own binary with the hidden verb `sandbox-exec`, which
// enters the sandbox by landlock and becomes the plugin by exec: no code of the plugin runs outside. Processes
// inherit landlock and cannot remove it. Support, and docs/sandbox.md, say what a kernel's level of landlock does
// not stop; other platforms have no sandbox (R13).
package sandbox
