// Package sdnotify tells systemd how the host is, as sd_notify(3) says. In a process that no service manager asked for
// it, it does nothing.
//
// NOTIFY_SOCKET stays in the environment of the host; plugins and gateways do not get it.
package sdnotify

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"
)

const (
	// maxStatus is the longest status line in bytes: systemctl shows it on one line.
	maxStatus = 200
	// extension is by how much a stop asks for more time at once, again at each half of it.
	extension = 30 * time.Second
	// statusEvery is the least time between two status lines.
	statusEvery = time.Second
)

// Notifier tells one service manager about one host. All methods are safe for concurrent use.
type Notifier struct {
	log  hclog.Logger
	send func(state string) error

	mu     sync.Mutex // guards the rest, and keeps messages in their order
	status string     // told last
	failed string     // the last error, so that it is said once
}

// New makes the notifier of this process, and the time within which the service manager wants to hear of it again; 0:
// it does not.
func New(log hclog.Logger) (*Notifier, time.Duration) {
	n := with(log, func(state string) error {
		_, err := daemon.SdNotify(false, state)
		return err
	})
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("cannot read what the service manager says about its watchdog", "error", err)
		return n, 0
	}
	return n, watchdog
}

func with(log hclog.Logger, send func(string) error) *Notifier {
	return &Notifier{log: log, send: send}
}

// Ready says that the host answers on its control socket and has decided which gateways to start.
func (n *Notifier) Ready() { n.tell(daemon.SdNotifyReady) }

// Reloading says that the host reads its configuration again; Ready ends it.
func (n *Notifier) Reloading() {
	state := daemon.SdNotifyReloading
	if now, ok := monotonic(); ok {
		state += fmt.Sprintf("\nMONOTONIC_USEC=%d", now)
	}
	n.tell(state)
}

// Stopping says that the host ends, and asks for more time as long as it lasts: until ctx is done. A gateway may take
// longer for its end than a service manager waits by itself.
func (n *Notifier) Stopping(ctx context.Context) {
	n.tell(daemon.SdNotifyStopping)
	more := fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", extension.Microseconds())
	tick := time.NewTicker(extension / 2)
	defer tick.Stop()
	for {
		n.tell(more)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Status tells what the host does, in one line, at most once a second, each time that changed fires, until ctx is done.
func (n *Notifier) Status(ctx context.Context, changed <-chan struct{}, line func() string) {
	for {
		n.line(line())
		select {
		case <-ctx.Done():
			return
		case <-time.After(statusEvery):
		}
		select {
		case <-ctx.Done():
			return
		case _, open := <-changed:
			if !open {
				return
			}
		}
	}
}

func (n *Notifier) line(text string) {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxStatus {
		text = strings.ToValidUTF8(text[:maxStatus-3], "") + "..."
	}
	n.mu.Lock()
	same := text == n.status
	n.status = text
	n.mu.Unlock()
	if !same {
		n.tell("STATUS=" + text)
	}
}

// Watchdog tells the service manager at each half of limit that the host works, as long as alive says so within that
// time. When it does not, the service manager restarts the host, which adopts its gateways. It returns when ctx is
// done.
func (n *Notifier) Watchdog(ctx context.Context, limit time.Duration, alive func(context.Context) error) {
	if limit <= 0 {
		return
	}
	tick := time.NewTicker(limit / 2)
	defer tick.Stop()
	for {
		within, cancel := context.WithTimeout(ctx, limit/2)
		err := alive(within)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			n.log.Error("the host does not work: the service manager is not told that it does", "error", err)
		default:
			n.tell(daemon.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (n *Notifier) tell(state string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	err := n.send(state)
	if err == nil {
		n.failed = ""
		return
	}
	if n.failed != err.Error() {
		n.failed = err.Error()
		n.log.Warn("cannot tell the service manager", "state", strings.SplitN(state, "=", 2)[0], "error", err)
	}
}
