package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/control"
)

// app holds what every verb needs. Its functions are those of package host, or fakes.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	terminal       bool // stdout is a terminal
	getenv         func(string) string

	load    func(configPath string) (*settings, error)
	sockets func(configPath string) ([]string, error)

	socket, config string // flags
	leave          func() // waits, but not for long, until what was said has left; nil: it has
}

// settings holds what the verbs need of a configuration.
type settings struct {
	path     string // "" without a file
	level    string
	json     bool // logs as JSON
	gateways int
	plugins  int
	toml     func() (string, error)
	tree     func() map[string]any
	newHost  func(log hclog.Logger, dropped func() uint64) supervisor // dropped counts the lines that log could not write
	missing  func(ctx context.Context) error                          // what the configuration names and is not there
	warnings []string                                                 // about files that the configuration names
	// remarks are what is set for the gateways and does not reach them; it reads env files
	remarks func() []string
	history history
}

// history is a *host.History.
type history interface {
	Dir() string
	Empty() bool
	Events(gateway string, after uint64, since time.Time) iter.Seq2[control.Event, error]
	Logs(gateway string, q control.LogsQuery) ([]control.LogLine, error)
}

// supervisor is a *host.Host.
type supervisor interface {
	Run(ctx context.Context) error
	Kill()
	Reload(ctx context.Context, req control.ReloadRequest) (control.Reload, error)
	Events(ctx context.Context, after uint64) iter.Seq[control.Event]
}

func newApp() *app {
	a := &app{
		stdin: os.Stdin, stdout: os.Stdout, stderr: &locked{w: os.Stderr}, terminal: isTerminal(os.Stdout),
		getenv: os.Getenv,
	}
	a.wire()
	return a
}

// locked lets logs and messages share a stream line by line.
type locked struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// root returns the whole command line.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "gatehost",
		Short:         "Supervise OpenClaw gateways",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.PersistentFlags().StringVar(&a.socket, "host", a.getenv("GATEHOST_SOCKET"),
		"control `socket` of the host (GATEHOST_SOCKET)")
	root.PersistentFlags().StringVar(&a.config, "config", a.getenv("GATEHOST_CONFIG"),
		"configuration `file` (GATEHOST_CONFIG)")
	root.AddCommand(
		a.runVerb(), a.statusVerb(), a.startVerb(), a.stopVerb(), a.restartVerb(), a.reloadVerb(), a.rpcVerb(),
		a.healthVerb(), a.eventsVerb(), a.logsVerb(), a.explainVerb(), a.doctorVerb(), a.serviceVerb(), a.gatewayConfigVerb(),
		a.pluginVerb(), a.configVerb(), a.versionVerb(), sandboxVerb(), a.verifyChildVerb(),
	)
	return root
}

// verb turns a function into a cobra.RunE. Its errors are failures; all other errors of cobra's are usage errors.
func verb(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		if err := f(ctx, args); err != nil {
			return failed{err}
		}
		return nil
	}
}

// client returns a client of the host that flags, environment or configuration name. Close it. A configuration that
// was named and cannot be read is an error: no command may go to another host instead.
func (a *app) client() (*control.Client, error) {
	if a.socket != "" {
		return control.New(a.socket), nil
	}
	sockets, err := a.sockets(a.config)
	if err != nil {
		return nil, &coded{code: exitConfig, err: err}
	}
	return control.New(sockets...), nil
}

func (a *app) printJSON(v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode the answer: %w", err)
	}
	return a.print(string(data))
}

// print writes a line of the answer. It fails when no process reads any more, so that a stream ends.
func (a *app) print(line string) error {
	_, err := fmt.Fprintln(a.stdout, line)
	return err
}

// say writes a line for people to stderr.
func (a *app) say(format string, args ...any) { _, _ = fmt.Fprintf(a.stderr, format+"\n", args...) }

// gatewayNames completes names of gateways from a running host.
func (a *app) gatewayNames(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	c, err := a.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer c.Close()
	st, err := c.Status(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, g := range st.Gateways {
		names = append(names, g.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// clean makes a text one line that is harmless on a terminal.
func clean(s string) string { return redact.PrintableLine(s) }

// elapsed formats a duration for people: 0.2s, 7.1s, 3m12s, 5m.
func elapsed(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	text := d.Round(time.Second).String()
	if short, whole := strings.CutSuffix(text, "m0s"); whole {
		return short + "m"
	}
	return text
}

func elapsedMs(ms *int64) string {
	if ms == nil {
		return "?"
	}
	return elapsed(time.Duration(*ms) * time.Millisecond)
}
