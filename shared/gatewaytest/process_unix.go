//go:build unix

package gatewaytest

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// errOwned says that a live process has the state directory.
var errOwned = errors.New("the state directory has an owner")

// lockState takes the state directory until release or the end of the process, however it ends.
func lockState(dir, config string) (release func(), err error) {
	dir = filepath.Join(dir, "tmp", "openclaw-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "gateway.state.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // our own lock
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errOwned
		}
		return nil, err
	}
	data, _ := json.Marshal(map[string]any{
		"pid": os.Getpid(), "ownerId": newID(), "createdAt": time.Now().UTC().Format(time.RFC3339Nano),
		"configPath": config, "stateDir": dir,
	})
	_ = f.Truncate(0)
	_, _ = f.WriteAt(append(data, "                \n"...), 0)
	return func() {
		_ = os.Remove(path)
		_ = f.Close()
	}, nil
}

// owned reports whether a live gateway has the state directory.
func owned(dir string) bool {
	path := filepath.Join(dir, "tmp", "openclaw-"+strconv.Itoa(os.Getuid()), "gateway.state.lock")
	f, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // our own lock
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// signals plays the gateway's signals (docs/openclaw.md §4): SIGTERM and SIGINT stop, SIGUSR2 restarts, SIGUSR1 opens
// an inspector (only said here); older releases take the two otherwise (§12). SIGHUP kills by default, as there;
// SIGQUIT ends a Go program with its own dump and code 2, unlike there.
func (r *run) signals() (stop func()) {
	c := make(chan os.Signal, 16) // 16: bursts
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2)
	over := make(chan struct{})
	r.tasks.Go(func() {
		for {
			select {
			case <-r.ctx.Done():
				return
			case <-over:
				return
			case s := <-c:
				r.take(s)
			}
		}
	})
	return func() { close(over) } // still notified: a second SIGTERM doesn't disturb the end
}

func (r *run) take(s os.Signal) {
	switch s {
	case syscall.SIGUSR2:
		r.user(r.release.usr2)
	case syscall.SIGUSR1:
		r.user(r.release.usr1)
	case syscall.SIGINT:
		r.stop("SIGINT")
	default:
		r.stop("SIGTERM")
	}
}

// user plays SIGUSR1 or SIGUSR2.
func (r *run) user(effect signalEffect) {
	switch effect {
	case restarts:
		r.tasks.Go(func() { r.restart("") })
	case kills:
		kill() // by SIGKILL: Go gives no way to die by this one
	case inspects:
		r.print(r.stderr, "Debugger listening on ws://127.0.0.1:9229/"+newID())
		r.print(r.stderr, "For help, see: https://nodejs.org/en/docs/inspector")
	}
}

// ignoreBrokenPipes lets a write to a pipe without a reader fail instead of killing us.
func ignoreBrokenPipes() { signal.Ignore(syscall.SIGPIPE) }

func ownSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

func kill() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }
