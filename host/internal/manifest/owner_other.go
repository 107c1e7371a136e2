//go:build !unix

package manifest

import "io/fs"

// Changeable returns "": the mode does not show it here.
func Changeable(string, fs.FileInfo) (why, hint string) { return "", "" }
