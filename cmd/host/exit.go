package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

// Exit codes; docs/reference/api.md lists them.
const (
	exitDone       = 0
	exitFailed     = 1
	exitUsage      = 2
	exitNoHost     = 3
	exitUnknown    = 4 // no such gateway or plugin
	exitTimedOut   = 5 // or the host does not answer; the operation may still finish
	exitSuperseded = 6
	exitConfig     = 78 // sysexits EX_CONFIG
)

// failed marks an error that a verb returned, in contrast to a usage error of cobra's.
type failed struct{ err error }

func (f failed) Error() string { return f.err.Error() }
func (f failed) Unwrap() error { return f.err }

// coded is an error with an exit code; a silent one has been printed already.
type coded struct {
	code   int
	err    error
	hint   string
	silent bool
}

func (c *coded) Error() string {
	if c.err == nil {
		return fmt.Sprintf("exit code %d", c.code)
	}
	return c.err.Error()
}

func (c *coded) Unwrap() error { return c.err }

func usage(format string, args ...any) error {
	return &coded{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// execute runs a command line and returns its exit code.
func execute(a *app, args []string) int {
	defer func() {
		if a.leave != nil {
			a.leave()
		}
	}()
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return exitDone
	}
	code := exitUsage
	if f, ok := errors.AsType[failed](err); ok {
		err = f.err
		code = codeOf(err)
	}
	a.tell(err, code)
	return code
}

func codeOf(err error) int {
	if c, ok := errors.AsType[*coded](err); ok {
		return c.code
	}
	if p, ok := errors.AsType[*control.Problem](err); ok {
		switch p.Code {
		case control.CodeNoSuchGateway, control.CodeNoSuchPlugin:
			return exitUnknown
		case control.CodeTimedOut:
			return exitTimedOut
		case control.CodeBadRequest:
			return exitUsage
		default:
			return exitFailed
		}
	}
	switch {
	case errors.Is(err, control.ErrNoHost):
		return exitNoHost
	case errors.Is(err, control.ErrSilent), errors.Is(err, context.DeadlineExceeded):
		return exitTimedOut
	default:
		return exitFailed
	}
}

// tell prints to stderr what went wrong and what to do.
func (a *app) tell(err error, code int) {
	if c, ok := errors.AsType[*coded](err); ok && c.silent {
		return
	}
	text := err.Error()
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		text = "timed out; the operation may still finish"
	case errors.Is(err, context.Canceled):
		text = "interrupted; the operation may still continue"
	}
	for line := range strings.Lines(text) {
		a.say("gatehost: %s", clean(strings.TrimSuffix(line, "\n")))
	}
	if hint := hintOf(err, code); hint != "" {
		a.say("hint: %s", clean(hint))
	}
}

func hintOf(err error, code int) string {
	if c, ok := errors.AsType[*coded](err); ok && c.hint != "" {
		return c.hint
	}
	if p, ok := errors.AsType[*control.Problem](err); ok {
		return p.Hint
	}
	if errors.Is(err, control.ErrSilent) {
		return "it is stopped (resume it with `kill -CONT PID`), hangs, or the machine has no time for it; " +
			"`gatehost explain NAME` reads its journal"
	}
	switch code {
	case exitNoHost:
		return "start a host with `gatehost run`, or name its socket with --host"
	case exitUsage:
		return "see `gatehost help`"
	default:
		return fault.HintOf(err)
	}
}
