package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// Errors of this package.
var (
	// ErrGone means that the process named by an Identity does not exist any more (or is a zombie).
	ErrGone = errors.New("process is gone")
	// ErrUnsupported means that this platform cannot answer.
	ErrUnsupported = errors.New("not supported on this platform")
)

// Identity names one process for as long as the machine is up.
type Identity struct {
	PID       int    `json:"pid"`
	StartTime string `json:"start_time"` // opaque; compare for equality only
}

// String is "pid 42 (started 1234)" for errors and logs.
func (id Identity) String() string {
	return fmt.Sprintf("pid %d (started %s)", id.PID, id.StartTime)
}

// Identify reads the identity of a living process. Errors: ErrGone, ErrUnsupported.
func Identify(pid int) (Identity, error) {
	info, err := lookup(pid)
	if err != nil {
		return Identity{}, fmt.Errorf("cannot identify pid %d: %w", pid, err)
	}
	return info.Identity, nil
}

// StartTime is the kernel's start time of a living process, as an opaque string. Errors: ErrGone, ErrUnsupported.
func StartTime(pid int) (string, error) {
	id, err := Identify(pid)
	return id.StartTime, err
}

// Alive reports whether the very process named by id still runs. A zombie does not run.
func (id Identity) Alive() bool {
	if id.PID <= 0 || id.StartTime == "" {
		return false
	}
	info, err := lookup(id.PID)
	return err == nil && info.StartTime == id.StartTime
}

// Signal sends sig to the process named by id and to no other, even if the pid was recycled meanwhile (pidfd on Linux).
// Errors: ErrGone, or the system's.
func (id Identity) Signal(sig syscall.Signal) error {
	if id.PID <= 1 || id.PID == os.Getpid() {
		return fmt.Errorf("cannot signal pid %d: refused, it is not a supervised process", id.PID)
	}
	return id.signal(sig)
}

// WaitGone waits until the process named by id is gone, asleep where the system can wake us (pidfd on Linux). It fails
// with the cause of ctx.
func (id Identity) WaitGone(ctx context.Context) error {
	if !id.Alive() {
		return nil
	}
	id.sleepUntilGone(ctx)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for id.Alive() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

// Began is when the process named by id was started, to about a second. Errors: ErrGone, ErrUnsupported.
func (id Identity) Began() (time.Time, error) {
	if !id.Alive() {
		return time.Time{}, fmt.Errorf("cannot tell when %v began: %w", id, ErrGone)
	}
	return began(id.StartTime)
}

// Parent returns the pid of the process's parent at this moment. Errors: ErrGone, ErrUnsupported.
func (id Identity) Parent() (int, error) {
	info, err := lookup(id.PID)
	if err == nil && info.StartTime != id.StartTime {
		err = ErrGone
	}
	return info.ppid, err
}

// Env is a variable of the environment that the process was started with; false when there is none, or it may not be
// read.
func (id Identity) Env(name string) (string, bool) {
	for _, pair := range environ(id.PID) {
		if value, ok := strings.CutPrefix(pair, name+"="); ok && id.Alive() {
			return value, true
		}
	}
	return "", false
}

// entry is one row of the process table.
type entry struct {
	Identity
	ppid int
	pgrp int    // its process group
	rss  uint64 // bytes, 0 when not known
}
