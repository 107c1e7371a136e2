//go:build !unix

package pluginkit

import "os/exec"

// ownGroup does nothing: without groups only the child itself is killed.
func ownGroup(*exec.Cmd) {}
