//go:build unix

package server

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/gatehost/gatehost/shared/shim/outlog"
)

// read reads all that comes through a pipe, whether there are listeners or not: a full pipe would stop the gateway.
func (s *supervisor) read(pipe *os.File, stream outlog.Stream, done chan<- bool) {
	defer pipe.Close()
	buf := make([]byte, outlog.MaxData)
	for {
		n, err := pipe.Read(buf)
		if n > 0 {
			now := time.Now()
			s.lastRead.Store(now.UnixNano())
			s.out.Append(stream, now, buf[:n])
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			done <- true
			return
		default: // given up by drain, or an error that will not pass
			done <- s.rest(pipe, stream, buf)
			return
		}
	}
}

// restMost is above the capacity of a pipe.
const restMost = 2 << 20

// rest reads what lies in a pipe without waiting, so that a slow reader loses nothing that was written before the end.
func (s *supervisor) rest(pipe *os.File, stream outlog.Stream, buf []byte) (eof bool) {
	if err := pipe.SetReadDeadline(time.Time{}); err != nil {
		return false
	}
	raw, err := pipe.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Read(func(fd uintptr) bool {
		for taken := 0; taken < restMost; {
			n, err := syscall.Read(int(fd), buf)
			if n <= 0 {
				eof = n == 0 && err == nil
				break
			}
			taken += n
			s.out.Append(stream, time.Now(), buf[:n])
		}
		return true
	})
	return eof
}
