package launcherlaunchd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

// notFound is launchctl's exit code for a service, or a domain, that it does not know.
const notFound = 113

// launchctl runs the program. What it prints holds the environment of services, so it never gets into an error or a
// log.
type launchctl struct {
	path   string
	limits limits
}

// job is what launchd knows of a service.
type job struct {
	loaded    bool
	path      string
	state     string
	pid       int
	keepAlive bool
	port      int    // that its arguments or environment name; 0 when none
	stateDir  string // likewise
}

// print looks a service up. Not loaded is an answer, not an error.
func (l launchctl) print(ctx context.Context, id string) (job, error) {
	stdout, stderr, code, err := l.run(ctx, l.limits.print, "print", id)
	switch {
	case err != nil:
		return job{}, err
	case code == notFound || strings.Contains(stderr, "Could not find service") ||
		strings.Contains(stderr, "Could not find domain"):
		return job{}, nil
	case code != 0:
		return job{}, refusal("print", id, code, stderr)
	}
	return parse(stdout, id)
}

// change runs bootout or bootstrap.
func (l launchctl) change(ctx context.Context, verb string, args ...string) error {
	_, stderr, code, err := l.run(ctx, l.limits.change, append([]string{verb}, args...)...)
	if err != nil || code == 0 {
		return err
	}
	return refusal(verb, strings.Join(args, " "), code, stderr)
}

func refusal(verb, what string, code int, stderr string) error {
	first, _, _ := strings.Cut(strings.TrimSpace(stderr), "\n")
	if len(first) > 300 {
		first = first[:300]
	}
	f := fault.New(fault.Internal, fmt.Sprintf("launchctl %s %s failed: exit code %d: %s", verb, what, code,
		strings.ToValidUTF8(first, "?")))
	text := strings.ToLower(stderr)
	if code == 1 && strings.Contains(text, "not permitted") || code == 13 ||
		strings.Contains(text, "permission denied") || strings.Contains(text, "not privileged") {
		f.Code = fault.PermissionDenied
		f.Hint = "run gatehost as the user that owns the service"
	}
	return f
}

// maxOutput of launchctl that is read; a service prints a few kilobytes.
const maxOutput = 1 << 20

// run answers output and exit code; err only when the program did not run to its end.
func (l launchctl) run(
	ctx context.Context, limit time.Duration, args ...string,
) (stdout, stderr string, code int, err error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := pluginkit.Command(limited, l.path, args...)
	var out, errs bounded
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	exit, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case ctx.Err() != nil:
		return "", "", 0, context.Cause(ctx)
	case limited.Err() != nil:
		return "", "", 0, fault.New(fault.DeadlineExceeded, fmt.Sprintf("launchctl %s did not answer within %v",
			args[0], limit)).
			WithHint("see whether launchctl answers in a terminal: " + l.path + " " + strings.Join(args, " "))
	case exited && exit.ExitCode() >= 0:
		return out.String(), errs.String(), exit.ExitCode(), nil
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return "", "", 0, fault.Wrap(fault.Internal, "cannot run launchctl", err)
	}
	return out.String(), errs.String(), 0, nil
}

// bounded keeps the beginning of what is written.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), maxOutput-b.Len())])
	return len(p), nil
}

// parse reads `launchctl print`: `key = value` and `key = {` ... `}`, with the service's own facts at the first level.
func parse(text, id string) (job, error) {
	lines := strings.Split(text, "\n")
	if first := strings.TrimSpace(lines[0]); first != id+" = {" &&
		!strings.HasSuffix(first, "/"+id[strings.LastIndexByte(id, '/')+1:]+" = {") {
		return job{},
			fault.New(fault.Internal,
				"cannot read what launchctl print answered: it does not begin with the service's name").
				WithHint("tell the authors of " + Name + " the version of macOS")
	}
	j := job{loaded: true}
	var sections []string
	var previous string
	for _, line := range lines[1:] {
		line = strings.TrimSpace(line)
		key, value, pair := strings.Cut(line, " = ")
		switch {
		case line == "}":
			if len(sections) > 0 {
				sections = sections[:len(sections)-1]
			}
		case strings.HasSuffix(line, "{"):
			sections = append(sections, strings.TrimSpace(strings.TrimSuffix(strings.TrimSuffix(line, "{"), "= ")))
		case len(sections) == 0 && pair:
			j.fact(key, value)
		case len(sections) == 1 && strings.HasSuffix(sections[0], "arguments"):
			j.argument(previous, line)
		case len(sections) == 1 && strings.HasSuffix(sections[0], "environment"):
			j.variable(line)
		}
		previous = line
	}
	return j, nil
}

func (j *job) fact(key, value string) {
	switch key {
	case "path":
		j.path = value
	case "state":
		j.state = value
	case "pid":
		if n, err := strconv.Atoi(value); err == nil && n > 0 {
			j.pid = n
		}
	case "properties":
		for p := range strings.SplitSeq(value, "|") {
			j.keepAlive = j.keepAlive || strings.TrimSpace(p) == "keepalive"
		}
	}
}

func (j *job) argument(previous, arg string) {
	if value, ok := strings.CutPrefix(arg, "--port="); ok {
		j.setPort(value)
	} else if previous == "--port" {
		j.setPort(arg)
	}
}

func (j *job) variable(line string) {
	name, value, _ := strings.Cut(line, " => ")
	switch name {
	case "OPENCLAW_GATEWAY_PORT":
		if j.port == 0 { // an argument outranks it
			j.setPort(value)
		}
	case "OPENCLAW_STATE_DIR":
		j.stateDir = value
	}
}

func (j *job) setPort(s string) {
	if n, err := strconv.Atoi(s); err == nil && n > 0 && n < 1<<16 {
		j.port = n
	}
}

// fights reports whether a service manages this gateway: a service with another port and another state directory
// manages another gateway. What it does not name counts as the same.
func (j job) fights(gw plugin.GatewayFacts) bool {
	otherPort := j.port != 0 && gw.Port != 0 && j.port != gw.Port
	otherState := j.stateDir != "" && gw.StateDir != "" && j.stateDir != gw.StateDir
	return gw.Profile != "plain" && (!otherPort || !otherState)
}

func (j job) reason() string {
	what := "launchd has OpenClaw's own gateway service loaded"
	if j.pid != 0 {
		what = fmt.Sprintf("launchd runs OpenClaw's own gateway service (pid %d)", j.pid)
	}
	if j.keepAlive {
		what += " and starts it again whenever it ends"
	}
	return what
}
