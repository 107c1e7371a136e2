package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// BootID is the identity of this boot of the machine; pids and start times hold within it only.
func BootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("cannot read boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// lookup reads /proc/PID/stat; zombies and the dead count as gone.
func lookup(pid int) (entry, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		//mutate:ignore ESRCH is for a process that ends between the opening and the reading of its file
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			return entry{}, ErrGone
		}
		return entry{}, err
	}
	return parseStat(pid, b)
}

// parseStat reads one line of proc_pid_stat(5). The name in field 2 may hold blanks and parentheses, so fields count
// from the last ')'.
func parseStat(pid int, b []byte) (entry, error) {
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return entry{}, fmt.Errorf("cannot read process table: no name in stat of pid %d", pid)
	}
	f := bytes.Fields(b[i+1:])
	const state, ppid, pgrp, start, rss = 0, 1, 2, 19, 21
	if len(f) <= rss {
		return entry{}, fmt.Errorf("cannot read process table: stat of pid %d has %d fields", pid, len(f))
	}
	if s := f[state][0]; s == 'Z' || s == 'X' || s == 'x' {
		return entry{}, ErrGone
	}
	parent, err := strconv.Atoi(string(f[ppid]))
	if err != nil {
		return entry{}, fmt.Errorf("cannot read process table: parent of pid %d: %w", pid, err)
	}
	group, err := strconv.Atoi(string(f[pgrp]))
	if err != nil {
		return entry{}, fmt.Errorf("cannot read process table: process group of pid %d: %w", pid, err)
	}
	pages, _ := strconv.ParseUint(string(f[rss]), 10, 64) // unknown counts as 0
	return entry{
		Identity: Identity{PID: pid, StartTime: string(f[start])},
		ppid:     parent,
		pgrp:     group,
		rss:      pages * uint64(os.Getpagesize()),
	}, nil
}

// signalProcessGroup is PIDFD_SIGNAL_PROCESS_GROUP of pidfd_send_signal(2), Linux 6.9.
const signalProcessGroup = 1 << 2

// signalGroup signals the process group that id leads. The group keeps its number as long as a process is in it, so an
// older kernel needs only that the leader lives.
func (id Identity) signalGroup(sig syscall.Signal) error {
	fd, err := unix.PidfdOpen(id.PID, 0)
	if err == nil {
		defer unix.Close(fd)
	}
	if !id.Alive() {
		return ErrGone
	}
	if err == nil {
		err = unix.PidfdSendSignal(fd, sig, nil, signalProcessGroup)
	}
	if err != nil && !errors.Is(err, unix.ESRCH) {
		err = unix.Kill(-id.PID, sig)
	}
	if errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	return err
}

// signal opens a pidfd first and compares the start time then: from there on the handle cannot mean another process.
func (id Identity) signal(sig syscall.Signal) error {
	fd, err := unix.PidfdOpen(id.PID, 0)
	switch {
	case errors.Is(err, unix.ESRCH):
		return ErrGone
	case err != nil: // kernel without pidfd, or no descriptors left: the small window is the best there is
		//mutate:ignore it needs a kernel without pidfd, which no test has; without a descriptor nothing is known alive
		if !id.Alive() {
			return ErrGone
		}
		return killed(unix.Kill(id.PID, sig))
	}
	defer unix.Close(fd)
	if !id.Alive() {
		return ErrGone
	}
	return killed(unix.PidfdSendSignal(fd, sig, nil, 0))
}

func killed(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	return err
}

// table reads the whole process table; processes that end meanwhile are left out.
func table() ([]entry, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("cannot read process table: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("cannot read process table: %w", err)
	}
	var all []entry
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if e, err := lookup(pid); err == nil {
			all = append(all, e)
		}
	}
	return all, nil
}

// hasEnv reports whether the process was started with the given NAME=value. What may not be read is not ours.
func hasEnv(pid int, pair string) bool {
	b, err := readEnviron("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false
	}
	for kv := range bytes.SplitSeq(b, []byte{0}) {
		if string(kv) == pair {
			return true
		}
	}
	return false
}

// environ is the environment that a process was started with; nothing when it may not be read.
func environ(pid int) []string {
	b, err := readEnviron("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return nil
	}
	return strings.Split(string(b), "\x00")
}

// ticksPerSecond is USER_HZ, 100 on every platform that Go runs on.
const ticksPerSecond = 100

// began turns a start time, which counts from the boot, into a time of day.
func began(start string) (time.Time, error) {
	boot, err := Booted()
	if err != nil {
		return time.Time{}, err
	}
	return boot.Add(time.Duration(ticks(start)) * time.Second / ticksPerSecond), nil
}

// Booted is when the kernel was started, to about a second, by the present wall clock.
func Booted() (time.Time, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return time.Time{}, fmt.Errorf("cannot read time of boot: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		text, ok := strings.CutPrefix(line, "btime ")
		if !ok {
			continue
		}
		boot, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return time.Time{}, fmt.Errorf("cannot read time of boot: %w", err)
		}
		return time.Unix(boot, 0), nil
	}
	return time.Time{}, errors.New("cannot read time of boot: no btime in /proc/stat")
}

// readEnviron is bounded: an environment is at most a few stack pages in practice, and 4 MiB is above every limit.
func readEnviron(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f, 4<<20)
}
