package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

// execFormat is what the kernel says of a file that it cannot execute.
const execFormat = "exec format error"

// notExecuted reports whether a line is the wrapper of a sandboxed plugin saying that it cannot execute the plugin.
func notExecuted(line string) bool {
	return strings.Contains(line, "cannot run the plugin") && strings.Contains(line, execFormat)
}

// explain turns go-plugin's errors into one that names the plugin, its file and what to do.
func (s *supervisor) explain(gen *generation, err error) error {
	if _, ours := errors.AsType[*fault.Error](err); ours {
		return err
	}
	why, hint := err.Error(), "start it by hand with --describe to see what it says"
	if refused := s.unanswered(gen); refused != nil {
		return refused
	}
	closed := strings.Contains(why, "plugin exited before we could connect") ||
		strings.Contains(why, "Failed to read any lines")
	if closed && gen.proc != nil && gen.proc.pid() != 0 { // its pipe ends a moment before it does
		_ = within(killBound, gen.proc.done)
	}
	lines := lastWords(gen)
	curable := true
	switch {
	case errors.Is(err, context.DeadlineExceeded), strings.Contains(why, "timeout while waiting for plugin to start"):
		why = fmt.Sprintf("it said nothing for start_timeout (%v)", gen.spec.StartTimeout)
		hint = "look at its last lines; raise plugins." + gen.spec.Name + ".start_timeout if it is only slow"
	case strings.Contains(why, execFormat), closed && slices.ContainsFunc(lines, notExecuted):
		why, lines = wrongPlatform(gen.exe.file), nil
		hint, curable = "install the build for this platform", false
	case closed:
		why = "it ended before it began with a handshake"
		if more := join(sandboxAdvice(gen.spec, lines), gen.exe.missing(*gen.spec)); more != "" {
			hint = more
		}
	case strings.Contains(why, "Unrecognized remote plugin message"),
		strings.Contains(why, "Incompatible API version") && len(lines) == 0:
		why = "it is not a gatehost plugin: it did not begin with a handshake"
		hint, curable = "name a plugin in plugins."+gen.spec.Name+".path", false
		if len(lines) > 0 { // it may be one, and greet
			hint += "; a plugin prints nothing to stdout before its handshake, and logs to stderr"
		}
	case strings.Contains(why, "ncompatible"):
		why = "it speaks another version of the plugin protocol: " + why
		hint, curable = fmt.Sprintf("upgrade the plugin, or gatehost (it speaks %d)", pluginkit.ProtocolVersion), false
	}
	err = refuse(fault.Unavailable, *gen.spec, gen.exe.path, why+tail(lines), hint)
	if !curable {
		return permanent{err}
	}
	return err
}

// join puts pieces of advice together.
func join(advice ...string) string {
	return strings.Join(slices.DeleteFunc(advice, func(a string) bool { return a == "" }), "; ")
}

// lastWords returns the last lines of a plugin, all of them when it has ended: some may still be on their way.
func lastWords(gen *generation) []string {
	if gen.proc != nil && gen.proc.pid() != 0 && gen.dead() {
		_ = within(drainBound, gen.proc.read)
	}
	return gen.logs.last()
}

// tail formats the last lines of a plugin for an error.
func tail(lines []string) string {
	var words []string
	for _, line := range lines {
		if text := brief(line); text != "" {
			words = append(words, text)
		}
	}
	if len(words) == 0 {
		return ""
	}
	return "; its last lines: " + strings.Join(words[max(0, len(words)-5):], " | ")
}

// unanswered says why the process that listens at the plugin's address was refused; nil when none was.
func (s *supervisor) unanswered(gen *generation) error {
	if gen.proc == nil {
		return nil
	}
	err := gen.proc.at.refusal()
	if err == nil {
		return nil
	}
	return permanent{s.refuse(gen, fault.CodeOf(err), err.Error(), fault.HintOf(err))}
}

// unintroduced explains a Describe or a Configure that failed.
func (s *supervisor) unintroduced(ctx context.Context, gen *generation, what string, err error) error {
	if refused := s.unanswered(gen); refused != nil {
		return refused
	}
	why, hint := err.Error(), fault.HintOf(err)
	if hint == "" {
		hint = "look at its last lines; tell its author"
	}
	switch {
	case errors.Is(err, fault.ErrPluginGone) && within(drainBound, gen.proc.done):
		why = fmt.Sprintf("it ended (%s)", gen.proc.cmd.ProcessState)
	// gRPC may say so a moment before our own timer fires
	case ctx.Err() != nil, due(ctx) && errors.Is(err, context.DeadlineExceeded):
		why = fmt.Sprintf("it did not answer within start_timeout (%v)", gen.spec.StartTimeout)
	}
	return s.refuse(gen, fault.CodeOf(err), "it cannot "+what+": "+why+tail(lastWords(gen)), hint)
}

func (s *supervisor) refuse(gen *generation, code fault.Code, why, hint string) error {
	return refuse(code, *gen.spec, gen.exe.path, why, hint)
}
