package sandbox

import (
	"path/filepath"
	"slices"
	"strings"
)

// Reach is a file that a plugin which is shut in was about to open, or a TCP address that it was about to connect to, and that its sandbox
// does not let it have.
type Reach struct {
	Path    string // absolute, symbolic links followed; "" for an address
	Write   bool   // it was to be changed
	Address string // with its port
}

// reached is the descriptor of a plugin's process, before it begins, by which the host is told where to hear of what the plugin opens.
const reached = 4

// allows reports whether the sandbox lets a file be opened. own are files that the plugin has by a descriptor.
func (s Spec) allows(path string, write bool, own []string) bool {
	read, devices := System()
	if inside(path, slices.Concat(s.Write, devices)) {
		return true
	}
	return !write && inside(path, slices.Concat(read, s.Read, own))
}

// inside reports whether a path is one of some places, or below one of them.
func inside(path string, places []string) bool {
	return slices.ContainsFunc(places, func(place string) bool {
		place = strings.TrimSuffix(filepath.Clean(place), "/")
		return path == place || strings.HasPrefix(path, place+"/")
	})
}
