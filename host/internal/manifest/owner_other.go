//go:build !unix

package manifest

import "io/fs"

// Changeable cannot be told from the mode here.
func Changeable(string, fs.FileInfo) (why, hint string) { return "", "" }
