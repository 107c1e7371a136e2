package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/internal/initprocess"
	"github.com/gatehost/gatehost/internal/outqueue"
	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/internal/version"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

func (a *app) runVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the host in the foreground",
		Long: "Run the host in the foreground. SIGTERM and SIGINT stop it in order; another one, after 1 s or more, stops\n" +
			"it at once. SIGHUP reloads the configuration; when the terminal of the host was closed, it stops the host in\n" +
			"order. Without a configuration it supervises one gateway, main, on port 18789 with `openclaw` from PATH.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if os.Getpid() == 1 { // of a container: another process is the host, this one reaps what it leaves
				return asInit()
			}
			if err := a.run(); err != nil {
				return failed{err}
			}
			return nil
		},
	}
}

// asInit is process 1 of a container, and runs this command line again as the host.
func asInit() error {
	self, err := os.Executable()
	if err != nil {
		return failed{fmt.Errorf("cannot find the host's own program: %w", err)}
	}
	code := initprocess.Run(append([]string{self}, os.Args[1:]...), os.Stderr)
	if code == exitDone {
		return nil
	}
	return &coded{code: code, silent: true}
}

// run runs the host. It handles signals itself: verb would take the first one for the last.
func (a *app) run() error {
	s, err := a.load(a.config)
	if err != nil {
		return configError(err)
	}
	dropped := a.queueTalk(s)
	log := s.logger(a.stderr)
	host := s.newHost(log, dropped)

	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 4) // a few impatient ones
	gone := notify(signals)
	watching, unwatch := context.WithCancel(context.Background())
	var helpers sync.WaitGroup
	hangups := make(chan struct{}, 1) // 1: one reload is enough for all requests before it begins
	helpers.Go(func() {
		orders{stop: cancel, kill: host.Kill, hangups: hangups, gone: gone, log: log}.obey(watching, signals)
	})
	helpers.Go(func() { reloadOn(watching, hangups, host, log) })
	helpers.Go(func() {
		st := stages{app: a, quiet: s.json}
		for e := range host.Events(watching, 0) { // reads what is left before it handles the end of watching
			st.show(e)
		}
	})
	if !s.json {
		a.say("gatehost %s: pid %d, %s", version.Version(), os.Getpid(), source(s.path))
	}
	err = host.Run(ctx)
	signal.Stop(signals)
	unwatch()
	helpers.Wait()
	if errors.Is(err, fault.ErrInvalidArgument) {
		return configError(err)
	}
	return err
}

// talkBound is how long the end of the host waits for a terminal or a pipe that takes nothing.
const talkBound = time.Second

// queueTalk makes log and messages leave through a queue, so that nothing which the host does waits for who reads them.
// It returns a function that counts the lines that could not leave.
func (a *app) queueTalk(s *settings) (dropped func() uint64) {
	out := outqueue.New(a.stderr, outqueue.Options{Remark: func(w io.Writer, n uint64) {
		s.logger(w).Warn("lines of this log were dropped: they could not be written", "dropped", n)
	}})
	a.stderr = out
	a.leave = func() { out.Close(talkBound) }
	return out.Dropped
}

// logger makes a log of the host that writes to w.
func (s *settings) logger(w io.Writer) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name: "gatehost", Level: hclog.LevelFromString(s.level), Output: redact.Writer{W: w}, JSONFormat: s.json,
		Color: hclog.ColorOff,
	})
}

func source(path string) string {
	if path == "" {
		return "no configuration file: one gateway, main"
	}
	return "configuration " + path
}

// reloadOn reloads the configuration at each hangup; log and events show the result.
func reloadOn(ctx context.Context, hangups <-chan struct{}, host supervisor, log hclog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			if _, err := host.Reload(ctx, control.ReloadRequest{}); err != nil {
				log.Debug("reload on a hangup", "error", err)
			}
		}
	}
}

// together is how close two signals are one request: wrappers (timeout, npm, a shell) pass on what the group has got
// already.
const together = time.Second

// orders is what signals make happen.
type orders struct {
	stop    context.CancelCauseFunc
	kill    func()
	hangups chan<- struct{}
	gone    func() bool // the terminal in which the host was started is gone
	log     hclog.Logger
}

// obey turns signals into actions: the first one into an orderly stop, the second into an immediate one. A hangup
// requests a reload; when the host's own terminal is gone, it is a request to stop, and never an immediate one: the
// kernel and the shell both send it.
func (o orders) obey(ctx context.Context, signals <-chan os.Signal) {
	var asked time.Time // zero: not yet
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-signals:
			switch {
			case s == syscall.SIGHUP && o.gone():
				if asked.IsZero() {
					asked = time.Now()
					o.stop(errors.New("the terminal was closed"))
				}
			case s == syscall.SIGHUP:
				select {
				case o.hangups <- struct{}{}:
				default: // one is requested already
				}
			case asked.IsZero():
				asked = time.Now()
				o.stop(fmt.Errorf("%s; a second one after 1 s stops at once", s))
			case time.Since(asked) < together:
				o.log.Debug("the same request to stop came twice", "signal", s.String())
			default:
				o.log.Warn("stopping at once", "signal", s.String())
				o.kill()
			}
		}
	}
}

func configError(err error) error { return &coded{code: exitConfig, err: err} }
