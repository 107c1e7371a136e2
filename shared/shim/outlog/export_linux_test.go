package outlog

import "os"

// Preallocate reserves the blocks of a file.
func Preallocate(f *os.File, size int64) error { return preallocate(f, size) }
