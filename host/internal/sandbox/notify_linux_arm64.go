package sandbox

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// oldOpens: this architecture is younger than they are.
var oldOpens []uint32

func opensByPath(int32) (yes, creates bool) { return false, false }
