package sandbox

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	lastCapability = 63 // the kernel's sets have 64 bits
	// No capability comes with uid 0, by a change of uid or from the ambient set; none of this can be changed again.
	lockedBits = 0xef // SECURE_NOROOT, NO_SETUID_FIXUP, NO_CAP_AMBIENT_RAISE and all locks; KEEP_CAPS is only locked
)

// drop takes all capabilities from this thread, which is locked and becomes the plugin, for good: a host that root
// runs has all of them. Only who has CAP_SETPCAP can also empty the bounding set and lock; for others no_new_privs
// does that.
func drop() error {
	fail := func(err error) error { return fmt.Errorf("cannot drop the plugin's capabilities: %w", err) }
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fail(err)
	}
	// every kernel with landlock has an ambient set
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fail(err)
	}
	may := true
	for c := uintptr(0); c <= lastCapability && may; c++ {
		switch err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); {
		case errors.Is(err, unix.EPERM):
			may = false
		case err != nil && !errors.Is(err, unix.EINVAL): // no such capability
			return fail(err)
		}
	}
	if may {
		if err := unix.Prctl(unix.PR_SET_SECUREBITS, lockedBits, 0, 0, 0); err != nil {
			return fail(err)
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // of capabilities 0 to 31, and 32 to 63
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fail(err)
	}
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fail(err)
	}
	for _, d := range data {
		if d != (unix.CapUserData{}) {
			return fail(errors.New("some are left"))
		}
	}
	return nil
}
