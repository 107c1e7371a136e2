package gatewaytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// exConfig is the exit code of a start that can't go on (sysexits EX_CONFIG).
const exConfig = 78

// oldNode is what 2026.9.6 says on Node 20.20.2, whatever it is asked (measured).
const oldNode = `openclaw: Node 20.20.2: node:sqlite is unavailable; use 24.16+/26.1+ or a build with the fix.
If you use nvm, run:
  nvm install 26
  nvm use 26
  nvm alias default 26`

// RunMain is the whole program: openclaw as far as a supervisor meets it. args are those after the program's name, env
// is in the form of os.Environ. It returns the exit code. It takes signals and, where asked for, starts copies of the
// running program, so one process runs it once at a time.
func RunMain(args, env []string, stdout, stderr io.Writer) int {
	p := newProgram(env, stdout, stderr)
	var err error
	if p.release, err = findRelease(p.env["EMULATOR_RELEASE"]); err != nil {
		p.print(stderr, "error: "+err.Error())
		return 1
	}
	args = p.rootOptions(args)
	if len(args) == 0 {
		args = []string{"--help"}
	}
	// the gateway complains of one that makes no sense
	if script, _ := parseScript(p.env["EMULATOR_MISBEHAVE"]); script.has("old-node") {
		p.print(p.stderr, oldNode)
		return 1
	}
	switch args[0] {
	case "--version", "-V", "-v":
		p.print(stdout, "OpenClaw "+p.release.version+" (emulated)")
		return 0
	case "--help", "-h", "help":
		p.print(stdout, help())
		return 0
	case "gateway":
		return p.gatewayCommand(args[1:])
	case "doctor":
		return p.doctorCommand(args[1:])
	case "config":
		return p.configCommand(args[1:])
	case brokerCommand:
		_, _ = io.Copy(io.Discard, os.Stdin) // until the gateway is gone
		return 0
	case holdCommand:
		return hold(args[1:])
	default:
		p.print(stderr, "error: unknown command '"+args[0]+"'")
		return 1
	}
}

func help() string {
	return `gateway-emulator stands in for openclaw ` + Version + ` in tests and demos: the same flags, environment,
exit codes, streams and frames, as far as a supervisor meets them.

  gateway-emulator [--profile NAME | --dev] COMMAND
  gateway-emulator gateway [run] --port N [--bind loopback] [--token T] [--auth MODE] [--allow-unconfigured]
  gateway-emulator doctor --fix --yes --non-interactive | doctor [--lint] --json
  gateway-emulator config validate [--json]
  gateway-emulator --version

Environment as of openclaw: OPENCLAW_GATEWAY_TOKEN, OPENCLAW_GATEWAY_PORT, OPENCLAW_STATE_DIR, OPENCLAW_CONFIG_PATH,
OPENCLAW_HOME, OPENCLAW_NO_RESPAWN, OPENCLAW_SUPERVISOR_MODE, OPENCLAW_HANDSHAKE_TIMEOUT_MS, HOME.
Environment of the emulator:
  EMULATOR_TIME_SCALE=0.02        the part of a real gateway's times that it takes; 1 is as slow as the real one
  EMULATOR_RELEASE=2026.9.6       the release that it plays: one of ` + strings.Join(Releases(), ", ") + `
  EMULATOR_MISBEHAVE=A,B=ARG      what it does wrong, see below
  EMULATOR_TICK_MS=30000          between tick events
  EMULATOR_PING_MS=25000          between WebSocket pings
  EMULATOR_CHILDREN=1             start a spawn broker in a session of its own
  EMULATOR_LOG_CONNECTIONS=1      print "emulator: websocket accepted" for each

Misbehaviours:
` + helpTable()
}

// program is one run of the executable.
type program struct {
	env     map[string]string
	stdout  io.Writer
	stderr  io.Writer
	scale   float64
	script  script
	release release
	lost    chan struct{} // closed when an output pipe has no reader any more

	mu      sync.Mutex // guards writing, once per lost, and the rest
	gone    bool
	printed int // lines
}

func newProgram(env []string, stdout, stderr io.Writer) *program {
	p := &program{env: map[string]string{}, stdout: stdout, stderr: stderr, scale: Scale, lost: make(chan struct{})}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		p.env[name] = value
	}
	if n, err := strconv.ParseFloat(p.env["EMULATOR_TIME_SCALE"], 64); err == nil && n >= 0 {
		p.scale = n
		if n == 0 {
			p.scale = -1
		}
	}
	return p
}

func (p *program) stateDir() string {
	if dir := p.env["OPENCLAW_STATE_DIR"]; dir != "" {
		return dir
	}
	return filepath.Join(p.home(), ".openclaw")
}

func (p *program) home() string {
	if dir := p.env["OPENCLAW_HOME"]; dir != "" {
		return dir
	}
	return p.env["HOME"]
}

// rootOptions takes --profile NAME and --dev before the command out of the arguments, and moves the state directory
// and the configuration as they do (docs/openclaw.md §2).
func (p *program) rootOptions(args []string) []string {
	profile := ""
	for len(args) > 0 {
		switch name, value, has := strings.Cut(args[0], "="); {
		case name == "--dev" && !has:
			profile, args = "dev", args[1:]
		case name == "--profile" && has:
			profile, args = value, args[1:]
		case name == "--profile" && len(args) > 1:
			profile, args = args[1], args[2:]
		default:
			if profile != "" && p.env["OPENCLAW_STATE_DIR"] == "" {
				p.env["OPENCLAW_STATE_DIR"] = filepath.Join(p.home(), ".openclaw-"+profile)
			}
			return args
		}
	}
	return args
}

func (p *program) configPath() string {
	if path := p.env["OPENCLAW_CONFIG_PATH"]; path != "" {
		return path
	}
	return filepath.Join(p.stateDir(), "openclaw.json")
}

func (p *program) millis(name string) time.Duration {
	n, err := strconv.Atoi(p.env[name])
	if err != nil || n <= 0 {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

// log writes a line as the gateway does: INFO on stdout, WARN and ERROR on stderr. A gateway whose pipe has lost its
// reader ends with code 0 at its next line (docs/openclaw.md §4).
func (p *program) log(r Record) {
	text := r.Text
	if r.Subsystem != "" {
		text = "[" + r.Subsystem + "] " + text
	}
	if !r.Bare {
		text = time.Now().UTC().Format("2006-01-02T15:04:05.000-07:00") + " " + text
	}
	out := p.stdout
	if r.Warn {
		out = p.stderr
	}
	p.print(out, text)
}

func (p *program) print(out io.Writer, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.printed += 1 + strings.Count(text, "\n")
	if _, err := io.WriteString(out, text+"\n"); err != nil && !p.gone {
		p.gone = true
		close(p.lost)
	}
}

func (p *program) say(subsystem, text string) { p.put(Record{Subsystem: subsystem, Text: text}) }
func (p *program) warn(subsystem, text string) {
	p.put(Record{Warn: true, Subsystem: subsystem, Text: text})
}

// put logs a line in the words of the release.
func (p *program) put(line Record) {
	for _, l := range p.release.say(line, 0) {
		p.log(l)
	}
}

// fail writes the message of a failed start: the first line with a time, the others bare.
func (p *program) fail(lines ...string) {
	for i, l := range lines {
		p.log(Record{Warn: true, Text: l, Bare: i > 0})
	}
}

func (p *program) pause(ctx context.Context, real time.Duration) {
	if p.scale < 0 {
		return
	}
	t := time.NewTimer(time.Duration(float64(real) * p.scale))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// flags are the options of `gateway`.
type flags struct {
	port              int
	portSet           bool
	token             string
	auth              string
	bind              string
	allowUnconfigured bool
}

var errUsage = errors.New("usage")

func parseFlags(args []string) (flags, error) {
	var f flags
	bare := map[string]bool{
		"--force": true, "--dev": true, "--verbose": true, "--ambient-channels": true, "--compact": true,
		"--raw-stream":       true,
		"--cli-backend-logs": true, "--claude-cli-logs": true, "--dev-ambient-channels": true, "--reset": true,
	}
	values := map[string]bool{
		"--ws-log": true, "--password": true, "--password-file": true, "--tailscale": true,
		"--raw-stream-path": true,
	}
	for i := 0; i < len(args); i++ {
		name, value, has := strings.Cut(args[i], "=")
		take := func() (string, error) {
			if has {
				return value, nil
			}
			if i++; i >= len(args) {
				return "", fmt.Errorf("%w: option '%s' argument missing", errUsage, name)
			}
			return args[i], nil
		}
		var err error
		var text string
		switch {
		case name == "run" && i == 0, bare[name]:
		case values[name]:
			_, err = take()
		case name == "--allow-unconfigured":
			f.allowUnconfigured = true
		case name == "--token":
			f.token, err = take()
		case name == "--auth":
			f.auth, err = take()
		case name == "--bind":
			f.bind, err = take()
		case name == "--port":
			if text, err = take(); err != nil {
				return f, err
			}
			if f.port, err = strconv.Atoi(text); err != nil || f.port < 1 || f.port > 65535 {
				return f, fmt.Errorf("%w: Invalid port", errUsage)
			}
			f.portSet = true
		default:
			return f, fmt.Errorf("%w: unknown option '%s'", errUsage, args[i])
		}
		if err != nil {
			return f, err
		}
	}
	return f, nil
}
