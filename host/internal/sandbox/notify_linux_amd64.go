package sandbox

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// oldOpens are the system calls by which old programs open files: their path is the first argument, not the second.
var oldOpens = []uint32{unix.SYS_OPEN, unix.SYS_CREAT}

// opensByPath reports whether a call has its path and flags in its first two arguments, and whether it always writes.
func opensByPath(nr int32) (yes, creates bool) {
	return nr == unix.SYS_OPEN || nr == unix.SYS_CREAT, nr == unix.SYS_CREAT
}
