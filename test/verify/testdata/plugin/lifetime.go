//go:build unix

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gatehost/gatehost/shared/pluginkit"
)

// busy counts the calls of the doctor that run now, bigCalls those about a big incident that ever ran.
var busy, bigCalls atomic.Int64

// begin does what a mode does at the start of the process.
func begin(mode string) {
	switch mode {
	case "outlives-the-host":
		never, keep, err := os.Pipe()
		check(err)
		os.Stdin = never // and so it does not hear of the death pipe
		go func() {
			time.Sleep(time.Hour)
			_ = keep.Close()
		}()
	case "outlives-the-host-when-busy":
		real := os.Stdin
		heard, tell, err := os.Pipe()
		check(err)
		os.Stdin = heard
		go func() {
			_, _ = io.Copy(io.Discard, real)
			time.Sleep(time.Second) // a call may be on its way
			if bigCalls.Load() > 0 {
				time.Sleep(time.Minute)
			}
			_ = tell.Close()
		}()
	case "serves-anyone":
		check(os.Unsetenv(pluginkit.SecretEnv))
	case "leaves-a-file":
		f, err := os.CreateTemp("", "verify")
		check(err)
		check(f.Close())
	case "leaves-a-process":
		child(nil, os.Environ())
	case "leaves-its-pipes-to-a-child":
		child(os.Stderr, []string{"PATH=/usr/bin:/bin"}) // and its environment does not tell whose it is
	}
}

// child starts a process that ends when the plugin's directory is gone.
func child(out io.Writer, env []string) {
	cmd := exec.Command("/bin/sh", "-c", "while [ -d \"$0\" ]; do sleep 0.2; done", workingDir())
	cmd.Env, cmd.Stdout, cmd.Stderr = env, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	check(cmd.Start())
}

func workingDir() string {
	dir, err := os.Getwd()
	check(err)
	return dir
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
