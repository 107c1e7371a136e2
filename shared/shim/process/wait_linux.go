package process

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// sleepUntilGone sleeps until the process named by id has ended, without looking again and again: its pidfd becomes
// readable then. It returns at once where this kernel cannot do that.
func (id Identity) sleepUntilGone(ctx context.Context) {
	fd, err := unix.PidfdOpen(id.PID, unix.PIDFD_NONBLOCK)
	if err != nil { // gone; or a kernel without pidfd, or no descriptors left
		return
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	if !id.Alive() { // the handle may be a stranger's that got the pid
		return
	}
	raw, err := f.SyscallConn()
	if err != nil || f.SetReadDeadline(time.Time{}) != nil { // the runtime cannot watch it
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_ = raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return err == nil && n > 0
	})
}
