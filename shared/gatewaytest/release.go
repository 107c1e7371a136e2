package gatewaytest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// release is how one release of OpenClaw differs (docs/openclaw.md §12; test/conformance-gateway checks it). The zero
// values are those of the newest one.
type release struct {
	version  string
	protocol int
	data     string // suffix of its captured answers

	noCapabilities bool         // the challenge names none
	deviceForAll   bool         // no scopes without a device identity
	openSnapshot   bool         // the hello shows places also to those who are not admin
	strictProtocol bool         // no probe may be a version behind
	bareMismatch   bool         // a protocol refusal names the expected version only
	plainForbidden bool         // a missing scope is an INVALID_REQUEST without details
	startedLine    bool         // it says that a shutdown started, and why
	manyMissing    bool         // a frame's fault names all properties that are missing, not the first
	anyOf          bool         // how a value that is none of a list is refused
	lateConnect    bool         // a second connect is a call like any other
	noPasswordAuth bool         // the token may not be in the password's field
	configLacks    []string     // members of config.get that came later
	limited        []string     // methods of which a device may make three calls a minute, all together
	deviceForCLI   bool         // a cli has no scopes without a device identity
	noTraces       bool         // it tells no stages of its start
	noReloadKind   bool         // config.schema.lookup does not say what a change does
	lateHash       bool         // config.patch misses the base hash only where a file is there
	oldSchemas     bool         // how faults of a frame are worded
	pages          bool         // what is no probe is a page, also below and beside them
	noSidecars     bool         // connects are taken from the first moment on
	nullExpected   bool         // the shutdown event of a stop has restartExpectedMs: null
	configExit     int          // of a start that the configuration prevents
	sharedState    bool         // the state directory has no owner
	usr1           signalEffect // of SIGUSR1
	usr2           signalEffect // of SIGUSR2
	lines          []lineRule   // how it says what the newest one says
	restartSignal  string       // that it says it restarts by
	portTries      int          // how often it tries a port that is taken, each 500 ms
	portExit       int          // when it is still taken then
	taken          string       // how it goes on about that
	// after a restart in process onto an invalid configuration; 0: it stays alive with its port closed
	zombieExit int
	doctor     doctorStyle // of `doctor --fix`
	vague      bool        // the validator's words for a fault are "Invalid input"
	refuse     func(r *run, config snapshot)
}

type signalEffect int

const (
	inspects signalEffect = iota
	restarts
	kills
)

type doctorStyle int

const (
	rewrites doctorStyle = iota // a valid file, too; gives up on what it can't repair
	leaves                      // writes only what it repaired; exit 0 also where it could not
	replaces                    // as rewrites, and puts a new file in the place of one that it can't parse
)

// lineRule replaces a line; without any text the line is not said. {pid} and {port} are the gateway's own.
type lineRule struct {
	subsystem, prefix string
	say               []Record
}

func said(subsystem string, texts ...string) []Record {
	out := make([]Record, 0, len(texts))
	for _, t := range texts {
		out = append(out, Record{Subsystem: subsystem, Text: t})
	}
	return out
}

// releases are those that are played, the newest one last.
func releases() []release {
	usr1 := lineRule{"gateway", "received SIGUSR2; restarting", said("gateway", "signal SIGUSR1 received",
		"received SIGUSR1; restarting")}
	stop := func(name string) lineRule {
		return lineRule{"gateway", "received " + name, said("gateway", "signal "+name+" received",
			"received "+name+"; shutting down")}
	}
	silent := func(subsystem string, prefixes ...string) []lineRule {
		var out []lineRule
		for _, p := range prefixes {
			out = append(out, lineRule{subsystem: subsystem, prefix: p})
		}
		return out
	}
	both := append(silent("gateway", "spawn broker ready", "shutdown budget", "startup outcomes",
		"active-work drain settled"), usr1, stop("SIGTERM"), stop("SIGINT"))
	both = append(both, silent("admission", "")...)
	return []release{
		{
			version: "2026.3.13", protocol: 3, data: "-2026.3.13", noCapabilities: true, deviceForAll: true,
			openSnapshot: true, strictProtocol: true,
			bareMismatch: true, plainForbidden: true, oldSchemas: true, manyMissing: true, anyOf: true,
			lateConnect: true, noPasswordAuth: true,
			configLacks: []string{
				"includedPaths", "sourceConfig", "runtimeConfig", "configRevisionHash",
				"appliedConfigHash",
			}, lateHash: true, pages: true, noSidecars: true, nullExpected: true, configExit: 1,
			sharedState: true,
			noTraces:    true, noReloadKind: true, limited: []string{"config.apply", "config.patch"}, portTries: 4,
			portExit: 1, usr1: restarts, usr2: kills, restartSignal: "SIGUSR1", doctor: leaves,
			refuse: refuseOldest,
			lines: append(append(silent("gateway", "loading configuration", "resolving authentication", "starting",
				"ready"),
				lineRule{"gateway", "agent model", said("gateway", "agent model: anthropic/claude-opus-4-6")},
				lineRule{
					"gateway", "http server listening",
					said("gateway", "listening on ws://127.0.0.1:{port}, ws://[::1]:{port} (PID {pid})"),
				},
				lineRule{"shutdown", "", nil},
			), both...),
		},
		{
			version: "2026.5.27", protocol: 4, data: "-2026.5.27", noCapabilities: true, strictProtocol: true,
			plainForbidden: true,
			startedLine:    true, configLacks: []string{"includedPaths", "configRevisionHash", "appliedConfigHash"},
			limited:        []string{"config.apply", "config.patch", restartRequest},
			noPasswordAuth: true, deviceForCLI: true, lateHash: true, pages: true, noSidecars: true, nullExpected: true,
			configExit: 1, sharedState: true, usr1: restarts, usr2: kills,
			portTries: 20, portExit: 0, taken: " | listen EADDRINUSE: address already in use 127.0.0.1:{port}",
			zombieExit:    13,
			restartSignal: "SIGUSR1", doctor: replaces, vague: true, refuse: refuseMiddle,
			lines: append([]lineRule{
				{"gateway", "agent model", said("gateway", "agent model: openai/gpt-5.5 (thinking=medium, fast=off)")},
				{
					"gateway", "http server listening",
					said("gateway",
						"http server listening (7 plugins: browser, canvas, device-pair, file-transfer, memory-core, phone-control, "+
							"talk-voice; 1.4s)"),
				},
			}, both...),
		},
		{
			version: Version, protocol: 4, configExit: exConfig, usr1: inspects, usr2: restarts,
			restartSignal: "SIGUSR2", portTries: 20, portExit: 1,
			taken: " | listen EADDRINUSE: address already in use 127.0.0.1:{port} | EADDRINUSE",
		},
	}
}

// Releases are the versions that can be played, oldest first.
func Releases() []string {
	var out []string
	for _, r := range releases() {
		out = append(out, r.version)
	}
	return out
}

// ErrRelease is wrapped by the error for a release that is not played.
var ErrRelease = errors.New("unknown release")

func findRelease(version string) (release, error) {
	all := releases()
	if version == "" {
		return all[len(all)-1], nil
	}
	for _, r := range all {
		if r.version == version {
			return r, nil
		}
	}
	return release{}, fmt.Errorf("%w: %q, want one of %s", ErrRelease, version, strings.Join(Releases(), ", "))
}

// choose is the release that is asked for by name, or by the protocol alone: 3 is spoken by the oldest only.
func choose(version string, s script) (release, error) {
	if version == "" && s.has("protocol") && s.number("protocol") == 3 {
		version = releases()[0].version
	}
	r, err := findRelease(version)
	if err == nil && s.has("protocol") {
		r.protocol = s.number("protocol")
	}
	return r, err
}

// advertises reports whether the release's hello names a method.
func (r release) advertises(name string) bool {
	list, _ := asObject(r.document("hello")["features"])["methods"].([]any)
	for _, m := range list {
		if m == name {
			return true
		}
	}
	return false
}

func (r release) document(name string) map[string]any { return document(name + r.data + ".json") }

// sample is the captured answer to a method, or a part of it.
func (r release) sample(method string, path ...string) any {
	var v any = r.document("samples")[method]
	for _, p := range path {
		v = asObject(v)[p]
	}
	return v
}

// say is a line of the newest release in this one's words.
func (r release) say(line Record, port int) []Record {
	for _, rule := range r.lines {
		if line.Bare || rule.subsystem != line.Subsystem || !strings.HasPrefix(line.Text, rule.prefix) {
			continue
		}
		out := make([]Record, 0, len(rule.say))
		for _, l := range rule.say {
			l.Warn = line.Warn
			l.Text = strings.NewReplacer("{pid}", strconv.Itoa(os.Getpid()), "{port}",
				strconv.Itoa(port)).Replace(l.Text)
			out = append(out, l)
		}
		return out
	}
	return []Record{line}
}

// refuseOldest is how 2026.3.13 ends on an invalid configuration.
func refuseOldest(r *run, config snapshot) {
	path := r.configPath()
	var issues []string
	for _, i := range config.issues {
		issues = append(issues, orDefault(i.path, "<root>")+": "+i.message)
	}
	if config.syntax != nil {
		r.print(r.stderr, "Failed to read config at "+path+" "+config.syntax.Error())
	} else {
		r.print(r.stderr, "Invalid config at "+path+`:\n- `+strings.Join(issues, "\n- "))
	}
	r.box("Config", "Config invalid; doctor will run with best-effort config.")
	lines := []string{"Config invalid", "File: " + r.short(path), "Problem:"}
	for _, i := range issues {
		lines = append(lines, "  - "+i)
	}
	for _, l := range append(lines, "", "Run: openclaw doctor --fix") {
		r.print(r.stderr, l)
	}
}

// refuseMiddle is how 2026.5.27 ends on an invalid configuration.
func refuseMiddle(r *run, config snapshot) {
	lines := []string{"Gateway failed to start: Invalid config at " + r.configPath() + "."}
	for _, i := range config.issues {
		lines = append(lines, orDefault(i.path, "<root>")+": "+r.release.words(i))
	}
	r.fail(append(lines, `Run "openclaw doctor --fix" to repair, then retry.`,
		"If startup is still blocked, inspect the adjacent .bak backup before restoring it manually.. Run openclaw "+
			"gateway status --deep for diagnostics.")...)
}

// words are an issue's message as the validator says it.
func (r release) words(i issue) string {
	if r.vague && i.allowed == nil && !strings.HasPrefix(i.message, "JSON5") {
		return "Invalid input"
	}
	return i.message
}
