//go:build unix

package foreignfile

import "syscall"

// nonBlocking keeps open(2) from waiting for the writer of a named pipe. It changes nothing for a regular file.
const nonBlocking = syscall.O_NONBLOCK | syscall.O_NOCTTY
