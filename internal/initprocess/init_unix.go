//go:build unix

package initprocess

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Bounds of starting the program again.
const (
	restartFirst = 100 * time.Millisecond // before the first attempt; doubled with each in a row
	restartMost  = 30 * time.Second
	lasted       = time.Minute // a program that ran so long begins with the first delay again

	// A Go program that panics ends with the code of a usage error. One that ran for a while had no usage error.
	codePanic = 2
	parsed    = 10 * time.Second
)

// Run runs argv as the program of this container until it ends by itself, and returns its exit code: 128 and the number
// of the signal when it was killed during a stop. One that is killed, or panics, without a request to stop is started
// again. Its path must be absolute. Messages for people go to say.
func Run(argv []string, say io.Writer) int {
	signals := make(chan os.Signal, 64) // more than come between two looks
	signal.Notify(signals)
	defer signal.Stop(signals)
	c := container{argv: argv, say: say, delay: restartFirst}
	return c.run(signals)
}

// container is the state of process 1. One goroutine has it.
type container struct {
	argv  []string
	say   io.Writer
	pid   int // of the program; 0 while it does not run
	began time.Time
	delay time.Duration
	stop  os.Signal // that asked for the end; nil: none did
	again <-chan time.Time
}

func (c *container) run(signals <-chan os.Signal) int {
	if err := c.start(); err != nil {
		fmt.Fprintf(c.say, "gatehost: cannot run %s as process 1 of a container: %v\n", c.argv[0], err)
		return 127
	}
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGCHLD {
				if code, over := c.reap(); over {
					return code
				}
				continue
			}
			if over := c.pass(s); over {
				return 128 + int(number(s))
			}
		case <-c.again:
			c.again = nil
			if err := c.start(); err != nil {
				fmt.Fprintf(c.say, "gatehost: cannot start the host again: %v\n", err)
				c.later()
			}
		}
	}
}

func number(s os.Signal) syscall.Signal {
	n, _ := s.(syscall.Signal) // all of them are on unix
	return n
}

func (c *container) start() error {
	p, err := os.StartProcess(c.argv[0], c.argv, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return err
	}
	c.pid, c.began = p.Pid, time.Now()
	return p.Release() // reap waits for all
}

// pass gives a signal to the program. Without a program, one that asks for the end is obeyed here.
func (c *container) pass(s os.Signal) (over bool) {
	asks := s == syscall.SIGTERM || s == syscall.SIGINT
	switch {
	case s == syscall.SIGURG || s == syscall.SIGPIPE: // of Go's own runtime; of what we write
		return false
	case c.pid == 0:
		return asks
	}
	if asks {
		c.stop = s
	}
	_ = syscall.Kill(c.pid, number(s)) // when it has just ended, reap says so
	return false
}

// reap takes the status of all processes that have ended: those of the program, and orphans.
func (c *container) reap() (code int, over bool) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if pid <= 0 || err != nil {
			return code, over
		}
		if pid == c.pid && (status.Exited() || status.Signaled()) {
			code, over = c.ended(status)
		}
	}
}

// ended decides what follows the end of the program.
func (c *container) ended(status syscall.WaitStatus) (code int, over bool) {
	ran := time.Since(c.began)
	c.pid = 0
	how := fmt.Sprintf("was killed by %v", status.Signal())
	switch crashed := status.ExitStatus() == codePanic && ran >= parsed; {
	case status.Signaled() && c.stop != nil:
		return 128 + int(status.Signal()), true
	case status.Exited() && (c.stop != nil || !crashed):
		return status.ExitStatus(), true
	case status.Exited():
		how = "crashed"
	}
	if ran >= lasted {
		c.delay = restartFirst
	}
	fmt.Fprintf(c.say, "gatehost: the host %s; it is started again in %v and adopts the gateways that live\n",
		how, c.delay)
	c.later()
	return 0, false
}

func (c *container) later() {
	c.again = time.After(c.delay)
	c.delay = min(2*c.delay, restartMost)
}
