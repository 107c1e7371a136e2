package sandbox

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// oldOpens is empty: this architecture is younger than these calls.
var oldOpens []uint32

func opensByPath(int32) (yes, creates bool) { return false, false }
