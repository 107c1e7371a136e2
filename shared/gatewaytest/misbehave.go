package gatewaytest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Misbehaviour is one thing that an emulated gateway can do wrong.
type Misbehaviour struct {
	Name string
	Arg  string // how its argument is written; "" when it has none
	Help string
	// Program says that it concerns the process: a Server inside a test ignores it.
	Program bool
}

// Misbehaviours is the table of all, in the order in which they come up in a gateway's life. A script is a
// comma-separated list of NAME or NAME=ARGUMENT. Times are milliseconds of real time; EMULATOR_TIME_SCALE does not
// touch them.
func Misbehaviours() []Misbehaviour {
	return []Misbehaviour{
		{"exit-at-once", "CODE", "exit before the first line of output", true},
		{"crash-first", "N", "the first N launches in this state directory exit 1 before they are ready", true},
		{"crash-loop", "", "exit 1 just before ready, at each launch", true},
		{"other-owner", "", "refuse to start as if another gateway owned the state directory (exit 78)", true},
		{"old-node", "", "refuse each command as on Node 20.20.2 (exit 1)", true},
		{"full-disk", "", "refuse to start as if the disk of a used state directory were full (exit 1)", true},
		{"print-token", "", "print the token on stderr at the start", true},
		{"binary-output", "", "print bytes that are not UTF-8 and a line without an end", true},
		{
			"flood-stderr", "LINES",
			"print that many numbered lines of 100 bytes on stderr, as fast as they are taken, once it is ready", true,
		},
		{
			"count-lines", "MS", "print a numbered line each MS, on stdout and stderr by turns, as long as it lives",
			true,
		},
		{
			"spawn-grandchild-holding-pipe", "SECONDS",
			"leave a child of another session that holds stdout and stderr for so long", true,
		},
		{"exit-after", "MS:CODE", "exit with CODE so long after ready, without a shutdown event", true},
		{"die-after", "MS", "be killed by SIGKILL, from itself, so long after ready", true},
		{
			"out-of-heap-after", "MS", "end as Node.js does when its heap is used up so long after ready, once (exit 134)", true,
		},
		{"ignore-sigterm", "", "take SIGTERM and SIGINT and go on", true},
		{"hang-stop", "", "on SIGTERM announce, close the sockets and never exit", true},
		{"slow-stop", "MS", "take so long to stop", true},
		{"slow-doctor", "MS", "let doctor --fix take so long before it looks", true},
		{"useless-doctor", "", "let doctor --fix rewrite the file, repair nothing and exit 0", true},
		{"busy", "MS", "have work in flight for so long after ready, which a suspension waits for", false},
		{"zombie-restart", "", "after a restart in process stay alive with the port closed", true},

		{"slow-listen", "MS", "open the port so much later", false},
		{"never-listen", "", "never open the port, say nothing more", false},
		{"no-probes", "", "answer each HTTP path with a page, as releases before 2026.9 do", false},
		{"hang-probes", "", "take HTTP requests and never answer", false},
		{"no-websocket", "", "answer the WebSocket upgrade with a page", false},
		{"draining", "", "answer the WebSocket upgrade with 503", false},
		{"never-challenge", "", "open the WebSocket and say nothing", false},
		{"slow-challenge", "MS", "send the challenge so late", false},
		{"challenge-without-nonce", "", "send a challenge without a nonce", false},
		{"garbage-challenge", "", "send text that is not JSON instead of the challenge", false},
		{
			"garbage-before", "N", "send N frames that are not JSON before the challenge and before the answer to connect",
			false,
		},
		{"binary-garbage", "", "send random binary frames instead of the challenge", false},
		{"binary-frames", "", "send all frames as binary", false},
		{"oversized-challenge", "", "send a challenge of 64 MiB", false},
		{"close-at-once", "CODE", "close each WebSocket right after the upgrade", false},
		{"sidecars", "MS", "refuse connects with startup-sidecars for so long after the port opened", false},
		{"sidecars-forever", "", "refuse connects with startup-sidecars for ever", false},
		{"refuse-token", "", "refuse each token", false},
		{
			"tell-token", "", "say the token in each error and in an event, in many forms, with escape sequences", false,
		},
		{"pairing-required", "", "want a pairing", false},
		{"protocol", "N", "speak that protocol only; 3 is played as 2026.3.13, see EMULATOR_RELEASE", false},
		{"no-restart-request", "", "neither advertise nor know gateway.restart.request", false},
		{"never-answer-connect", "", "take connect and never answer", false},
		{"slow-connect", "MS", "answer connect so late", false},
		{"huge-hello", "BYTES", "pad the answer to connect", false},
		{"close-after", "MS:CODE", "close each session so long after hello", false},
		{"cut-after", "MS", "cut each session's TCP connection so long after hello", false},
		{
			"silent-after", "MS", "say nothing more on a session so long after hello, not even pongs, and keep it open",
			false,
		},
		{"deaf-after", "MS", "read one more frame so long after hello and then none", false},
		{"restart-after", "MS", "restart in process, once, so long after ready", false},
		{"oversized-frame-after", "MS", "send a frame of 64 MiB on each session so long after hello", false},
		{"garbage-after", "MS", "send a text that is not JSON on each session so long after hello", false},
		{"flood-events", "N", "send that many events right after hello", false},
		{"no-ticks", "", "send no tick events", false},
		{"no-answers", "", "answer no call", false},
		{"duplicate-answers", "", "answer each call twice", false},
		{"stale-install", "", "refuse channels.status as a gateway whose files were replaced", false},
		{"late-answers", "MS", "answer each call so late", false},
		{"odd-answers", "", "precede each answer by one to a call that was not made", false},
	}
}

// ErrMisbehaviour is wrapped by the error for a script that makes no sense.
var ErrMisbehaviour = errors.New("unknown misbehaviour")

// script is a parsed list of misbehaviours.
type script map[string]string

func parseScript(text string) (script, error) {
	out := script{}
	known := Misbehaviours()
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		name, arg, has := strings.Cut(item, "=")
		i := slices.IndexFunc(known, func(m Misbehaviour) bool { return m.Name == name })
		switch {
		case i < 0:
			return nil, fmt.Errorf("%w: %q", ErrMisbehaviour, name)
		case has != (known[i].Arg != ""):
			return nil, fmt.Errorf("%w: %q, want %s", ErrMisbehaviour, item, usage(known[i]))
		}
		for part := range strings.SplitSeq(arg, ":") {
			if n, err := strconv.Atoi(part); has && (err != nil || n < 0) {
				return nil, fmt.Errorf("%w: %q, want %s", ErrMisbehaviour, item, usage(known[i]))
			}
		}
		if two := strings.Contains(known[i].Arg, ":"); has && two != strings.Contains(arg, ":") {
			return nil, fmt.Errorf("%w: %q, want %s", ErrMisbehaviour, item, usage(known[i]))
		}
		out[name] = arg
	}
	return out, nil
}

func usage(m Misbehaviour) string {
	if m.Arg == "" {
		return m.Name
	}
	return m.Name + "=" + m.Arg
}

func (s script) has(name string) bool {
	_, ok := s[name]
	return ok
}

// number is the first number of an argument; parseScript has checked it.
func (s script) number(name string) int {
	first, _, _ := strings.Cut(s[name], ":")
	n, _ := strconv.Atoi(first)
	return n
}

// second is the number after the colon.
func (s script) second(name string) int {
	_, after, _ := strings.Cut(s[name], ":")
	n, _ := strconv.Atoi(after)
	return n
}

// after is the first number as a duration.
func (s script) after(name string) (time.Duration, bool) {
	return time.Duration(s.number(name)) * time.Millisecond, s.has(name)
}

func helpTable() string {
	var b strings.Builder
	for _, m := range Misbehaviours() {
		fmt.Fprintf(&b, "  %-39s %s\n", usage(m), m.Help)
	}
	return b.String()
}
