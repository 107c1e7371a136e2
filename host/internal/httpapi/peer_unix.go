//go:build linux || darwin

package httpapi

import (
	"errors"

	"golang.org/x/sys/unix"
)

// numberFree reports whether no process has this number.
func numberFree(pid int) bool { return errors.Is(unix.Kill(pid, 0), unix.ESRCH) }
