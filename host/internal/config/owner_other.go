//go:build !unix

package config

import "io/fs"

// Ours cannot be told here; the directory is inside the user's own profile.
func Ours(fs.FileInfo) bool { return true }

// private cannot be told from the mode here.
func private(fs.FileInfo) bool { return true }
