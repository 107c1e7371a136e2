// Package archtest checks the table of docs/architecture.md: which package may import which, with the reason. It
// looks at imports as the go command sees them, so it must run with -count=1: the test cache does not know what a
// subprocess read.
package archtest
