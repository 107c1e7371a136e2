//go:build unix && !linux

package pluginhost_test

// forbidSeccomp is for a system that has it.
func forbidSeccomp() {}
