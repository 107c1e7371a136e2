//go:build unix && !linux

package pluginhost_test

// forbidSeccomp exists on Linux only.
func forbidSeccomp(bool) {}
