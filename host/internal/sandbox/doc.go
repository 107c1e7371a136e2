// Package sandbox shuts a plugin in before it begins: it sees the files it was given, its own data directory and what every program
// of the system needs, reaches no TCP port, signals no process outside, gains no privilege by a set-uid program, leaves no core.
//
// The host does not start the plugin itself then but its own binary with the hidden verb `sandbox-exec`, which shuts itself in by
// landlock and becomes the plugin by exec: no code of the plugin runs outside. Landlock is inherited and cannot be taken off. What a kernel's
// level of it does not stop is told by Support, and docs/plugins.md; other platforms have none of this (R13).
package sandbox
