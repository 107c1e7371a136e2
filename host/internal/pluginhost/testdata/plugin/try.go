package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/plugin"
)

// try does what a plugin should not, or should, be able to do: "read PATH", "write PATH", "connect ADDRESS", "signal
// PID", "run ARGV", "files N". The error is the kernel's.
func try(what string) (doctor.Diagnosis, error) {
	if quiet, ok := strings.CutPrefix(what, "quietly "); ok { // without reporting it
		_, _ = try(quiet)
		return doctor.Diagnosis{Findings: []doctor.Finding{{Code: "tried", Text: "nothing to see here"}}}, nil
	}
	verb, arg, _ := strings.Cut(what, " ")
	text, err := "done", error(nil)
	switch verb {
	case "read":
		var data []byte
		if data, err = os.ReadFile(arg); err == nil {
			text = string(data)
		}
	case "list":
		_, err = os.ReadDir(arg)
	case "write":
		err = os.WriteFile(arg, []byte("written"), 0o600)
	case "link":
		err = os.Symlink(arg, "link")
	case "grow":
		err = fill(arg)
	case "connect":
		var conn net.Conn
		if conn, err = net.DialTimeout("tcp", arg, 10*time.Second); err == nil {
			err = conn.Close()
		}
	case "udp":
		var conn net.Conn
		if conn, err = net.Dial("udp", arg); err == nil {
			err = conn.Close()
		}
	case "signal":
		var pid int
		if pid, err = strconv.Atoi(arg); err == nil {
			err = syscall.Kill(pid, 0)
		}
	case "run":
		var out []byte
		out, err = exec.Command("/bin/sh", "-c", arg).CombinedOutput()
		text = string(out)
	case "leave": // children in its group, in another session, and without a parent; the last one grows
		text, err = leave(arg)
	case "files":
		text, err = openMany(arg)
	case "storm":
		text, err = storm(arg)
	case "env":
		text = os.Getenv(arg)
	case "dir":
		text, err = os.Getwd()
	}
	return doctor.Diagnosis{Findings: []doctor.Finding{{Code: "tried", Severity: plugin.SeverityInfo, Text: text}}}, err
}

func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	piece := make([]byte, 1<<20)
	for range 4 {
		if _, err := f.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

func openMany(count string) (string, error) {
	n, err := strconv.Atoi(count)
	if err != nil {
		return "", err
	}
	for range n {
		f, err := os.Open("/dev/null")
		if err != nil {
			return "", err
		}
		defer func() { _ = f.Close() }()
	}
	return fmt.Sprint(n), nil
}

// leave starts children that go on, and returns their pids.
func leave(mib string) (string, error) {
	var pids []string
	for _, own := range []bool{false, true} {
		cmd := exec.Command("/bin/sleep", "600")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: own}
		if err := cmd.Start(); err != nil {
			return "", err
		}
		pids = append(pids, fmt.Sprint(cmd.Process.Pid))
	}
	// the shell ends at once: what it started is an orphan in a session of its own
	cmd := exec.Command("/bin/sh", "-c", `setsid "$0" grows "$1" </dev/null >/dev/null 2>&1 & echo $!`,
		os.Args[0], mib)
	out, err := cmd.Output()
	if err != nil {
		return "", err
	}
	orphan, err := strconv.Atoi(strings.TrimSpace(string(out)))
	for err == nil { // until it has left the group
		if session, err := unix.Getsid(orphan); err != nil || session == orphan {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return strings.Join(append(pids, strings.TrimSpace(string(out))), " "), err
}

// another starts a child that is the plugin and passes its handshake on.
func another(stranger bool) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: stranger}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	_ = cmd.Wait()
	os.Exit(0)
}

// storm opens files from many goroutines at the same time.
func storm(count string) (string, error) {
	n, err := strconv.Atoi(count)
	if err != nil {
		return "", err
	}
	var all sync.WaitGroup
	errs := make(chan error, n) // of each
	began := time.Now()
	for range 8 {
		all.Go(func() {
			for range n / 8 {
				if _, err := os.ReadFile("/proc/self/comm"); err != nil {
					errs <- err
				}
			}
		})
	}
	all.Wait()
	close(errs)
	return time.Since(began).String(), <-errs
}
