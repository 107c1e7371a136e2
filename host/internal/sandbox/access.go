package sandbox

import (
	"path/filepath"
	"slices"
	"strings"
)

// Access is a file that a sandboxed plugin was about to open, or a socket that it was about to make, and that its
// sandbox denies.
type Access struct {
	Path   string // absolute, symbolic links followed; "" for a socket
	Write  bool   // for writing
	Socket string // "TCP", "UDP", or "sockets" of another kind; "" for a file
}

// watchFD is the descriptor in the plugin's process, before it begins, through which it tells the host where to
// listen for its calls.
const watchFD = 4

// Inside reports whether a path is one of some places, or below one of them; all are absolute.
func Inside(path string, places []string) bool {
	path = filepath.Clean(path)
	return slices.ContainsFunc(places, func(place string) bool {
		place = strings.TrimSuffix(filepath.Clean(place), "/")
		return path == place || strings.HasPrefix(path, place+"/")
	})
}
