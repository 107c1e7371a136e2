//go:build !linux

package pluginhost

import "os/exec"

// execOpened does nothing: only Linux can execute an opened file. The time between check and start is a known gap here.
func execOpened(*exec.Cmd, *executable, string) error { return nil }

// handOver is for a sandbox, which only Linux has.
func handOver(*exec.Cmd, *executable) {}

func (e *executable) link(string) (string, error) { return "", nil }
