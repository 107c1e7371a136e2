package process

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const zombie = 5 // SZOMB of sys/proc.h

// BootID is the identity of this boot of the machine; pids and start times hold within it only.
func BootID() (string, error) {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return "", fmt.Errorf("cannot read boot id: %w", err)
	}
	return id, nil
}

func lookup(pid int) (entry, error) {
	k, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		// x/sys answers EIO when the kernel returns no row.
		if errors.Is(err, unix.EIO) || errors.Is(err, unix.ESRCH) {
			return entry{}, ErrGone
		}
		return entry{}, err
	}
	e, alive := fromKinfo(k)
	if !alive || e.PID != pid {
		return entry{}, ErrGone
	}
	return e, nil
}

func fromKinfo(k *unix.KinfoProc) (entry, bool) {
	t := k.Proc.P_starttime
	return entry{
		Identity: Identity{
			PID:       int(k.Proc.P_pid),
			StartTime: strconv.FormatInt(t.Sec, 10) + "." + strconv.FormatInt(int64(t.Usec), 10),
		},
		ppid: int(k.Eproc.Ppid),
		pgrp: int(k.Eproc.Pgid),
	}, k.Proc.P_stat != zombie
}

func (id Identity) signal(sig syscall.Signal) error {
	if !id.Alive() {
		return ErrGone
	}
	if err := unix.Kill(id.PID, sig); errors.Is(err, unix.ESRCH) {
		return ErrGone
	} else if err != nil {
		return err
	}
	return nil
}

func (id Identity) signalGroup(sig syscall.Signal) error {
	if !id.Alive() {
		return ErrGone
	}
	if err := unix.Kill(-id.PID, sig); errors.Is(err, unix.ESRCH) {
		return ErrGone
	} else if err != nil {
		return err
	}
	return nil
}

func table() ([]entry, error) {
	rows, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil, fmt.Errorf("cannot read process table: %w", err)
	}
	all := make([]entry, 0, len(rows))
	for i := range rows {
		if e, alive := fromKinfo(&rows[i]); alive {
			all = append(all, e)
		}
	}
	return all, nil
}

// hasEnv looks into KERN_PROCARGS2: argument count, path, padding, arguments, environment, all separated by NUL.
func hasEnv(pid int, pair string) bool {
	b, err := unix.SysctlRaw("kern.procargs2", pid)
	if err != nil || len(b) < 4 {
		return false
	}
	return strings.Contains("\x00"+string(b[4:])+"\x00", "\x00"+pair+"\x00")
}

// environ takes what follows the arguments for the environment, too: a variable is known by its name.
func environ(pid int) []string {
	b, err := unix.SysctlRaw("kern.procargs2", pid)
	if err != nil || len(b) < 4 {
		return nil
	}
	return strings.Split(string(b[4:]), "\x00")
}

func began(start string) (time.Time, error) {
	seconds, micros, _ := strings.Cut(start, ".")
	s, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("cannot read start time %q: %w", start, err)
	}
	us, _ := strconv.ParseInt(micros, 10, 64) // less than a second
	return time.Unix(s, us*1000), nil
}

// Booted is when the kernel was started, by the present wall clock.
func Booted() (time.Time, error) {
	t, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return time.Time{}, fmt.Errorf("cannot read time of boot: %w", err)
	}
	return time.Unix(t.Unix()), nil
}
