// Package outlog keeps the last output of one launch in a bounded place on disk, so that it can be read while it is
// written, after its reader lagged, and after its writer was killed.
//
// The log is two segment files that are filled in turn and overwritten in place: preallocated, so that a disk that
// fills up later cannot stop it. Positions are logical: the count of payload bytes of both streams since the launch,
// never a position in a file. Records are framed with a checksum that covers their offset, so what an earlier round
// left behind a segment's end is not taken for data. Format version 1 is frozen: old shims write it, new hosts read it.
//
// It imports the standard library and golang.org/x/sys only.
package outlog
