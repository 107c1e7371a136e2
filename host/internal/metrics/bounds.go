package metrics

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// other stands for every value beyond the bounds of a label.
const other = "other"

// limiter bounds the values of a label that comes from outside: words of a harmless form, and only the first so
// many of them. Safe for concurrent use.
type limiter struct {
	max int

	mu   sync.Mutex // guards seen
	seen map[string]struct{}
}

var harmless = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func newLimiter(n int) *limiter { return &limiter{max: n, seen: map[string]struct{}{}} }

// word returns v, or other when v has another form or is one too many; "" is none.
func (l *limiter) word(v string) string {
	switch {
	case v == "":
		return "none"
	case !harmless.MatchString(v):
		return other
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.seen[v]; !known {
		if len(l.seen) >= l.max {
			return other
		}
		l.seen[v] = struct{}{}
	}
	return v
}

// methods are the calls that are counted by name: those of the host itself and the usual ones of operators. Any
// client can choose the name of a method.
var methods = []string{
	"channels.status", "chat.history", "chat.send", "config.apply", "config.get", "config.patch", "config.set",
	"doctor.memory.status", "gateway.restart.request", "gateway.suspend.prepare", "gateway.suspend.resume",
	"gateway.suspend.status", "health", "logs.tail", "models.list", "sessions.list", "status", "system-presence",
	"system.info",
}

func methodWord(m string) string { return oneOf(methods, m) }

// signals that end a process, as launchers name them.
var signals = []string{
	"SIGABRT", "SIGALRM", "SIGBUS", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT", "SIGKILL", "SIGPIPE", "SIGQUIT",
	"SIGSEGV", "SIGSYS", "SIGTERM", "SIGTRAP", "SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGXFSZ",
}

func signalWord(s string) string {
	if s == "" {
		return "none"
	}
	return oneOf(signals, strings.ToUpper(s))
}

func oneOf(list []string, v string) string {
	if slices.Contains(list, v) {
		return v
	}
	return other
}

// exitWord returns an exit code as a label; those of Windows may be any number.
func exitWord(code *int) string {
	switch {
	case code == nil:
		return "none"
	case *code < 0 || *code > 255:
		return other
	default:
		return strconv.Itoa(*code)
	}
}

// closeWord returns a WebSocket close code as a label. An application chooses its own codes.
func closeWord(code int) string {
	switch {
	case code >= 1000 && code <= 1015:
		return strconv.Itoa(code)
	case code >= 3000 && code <= 4999:
		return "application"
	default:
		return other
	}
}
