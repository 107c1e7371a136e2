package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/internal/initprocess"
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
			"it at once. SIGHUP reloads the configuration. Without a configuration it supervises one gateway, main, on\n" +
			"port 18789 with `openclaw` from PATH.",
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
	log := hclog.New(&hclog.LoggerOptions{
		Name: "gatehost", Level: hclog.LevelFromString(s.level), Output: redact.Writer{W: a.stderr}, JSONFormat: s.json,
		Color: hclog.ColorOff,
	})
	host := s.newHost(log)

	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 4) // a few impatient ones
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	watching, unwatch := context.WithCancel(context.Background())
	var helpers sync.WaitGroup
	hangups := make(chan struct{}, 1) // 1: one reload is enough for all requests before it begins
	helpers.Go(func() { obey(watching, signals, cancel, host.Kill, hangups, log) })
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

// obey turns signals into actions: the first one into an orderly stop, the second into an immediate one. A hangup
// requests a reload.
func obey(ctx context.Context, signals <-chan os.Signal, stop context.CancelCauseFunc, kill func(),
	hangups chan<- struct{}, log hclog.Logger,
) {
	var asked time.Time // zero: not yet
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-signals:
			switch {
			case s == syscall.SIGHUP:
				select {
				case hangups <- struct{}{}:
				default: // one is requested already
				}
			case asked.IsZero():
				asked = time.Now()
				stop(fmt.Errorf("%s; a second one after 1 s stops at once", s))
			case time.Since(asked) < together:
				log.Debug("the same request to stop came twice", "signal", s.String())
			default:
				log.Warn("stopping at once", "signal", s.String())
				kill()
			}
		}
	}
}

func configError(err error) error { return &coded{code: exitConfig, err: err} }
