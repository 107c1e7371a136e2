package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/plugin"
)

const (
	codeTokenRefused = "token-refused"
	textTokenRefused = "the gateway refuses the host's token: it was replaced, or is another one's"
	hintTokenRefused = "compare gateways.NAME.token with gateway.auth.token of the gateway's configuration, then run " +
		"`gatehost restart NAME`"

	codeClockOff       = "clock-off"
	codePortTaken      = "port-taken"
	codeProgramMissing = "program-missing"
	codeNotExecutable  = "program-not-executable"
	codeNodeMissing    = "node-missing"
	codeAborted        = "aborted"
	codeEndedAtOnce    = "ended-before-listening"
)

// refusals are the host's codes of sessions that the gateway refuses (docs/openclaw.md §6), or that could not be opened
// since the two sides speak differently.
var refusals = map[string]doctor.Finding{
	"AUTH_TOKEN_MISMATCH": {Code: codeTokenRefused, Text: textTokenRefused, Hint: hintTokenRefused},
	"AUTH_TOKEN_MISSING":  {Code: codeTokenRefused, Text: textTokenRefused, Hint: hintTokenRefused},
	"DEVICE_AUTH_SIGNATURE_EXPIRED": {
		Code: codeClockOff, Text: "the clocks of the host and of the gateway differ by more than two minutes",
		Hint: "set the clock of both machines (`timedatectl set-ntp true`)",
	},
	"tls_required": {
		Code: "tls-on-port", Text: "the gateway speaks TLS on its port, and the host connects to it without TLS",
		Hint: "set gateways.NAME.tls.fingerprint in config.toml to what `gatehost status NAME` says, then " +
			"`gatehost config reload`; or run `openclaw config set gateway.tls.enabled false`, then `gatehost restart NAME`",
	},
	"tls_expected": {
		Code: "no-tls-on-port", Text: "the gateway does not speak TLS on its port, and the host connects to it with TLS",
		Hint: "run `openclaw config set gateway.tls.enabled true`, then `gatehost restart NAME`",
	},
}

// ending is what the way in which a process ended shows, when its words show no more.
type ending struct {
	exits   func(plugin.Exit) bool
	finding func(*examination) doctor.Finding
}

var endings = []ending{
	{exitsWith(127), func(*examination) doctor.Finding {
		return doctor.Finding{
			Code: codeProgramMissing, Severity: plugin.SeverityError, Fatal: true,
			Text: "the gateway's command ended with exit code 127: a program that it needs was not found",
			Hint: "look at the last lines with `gatehost logs NAME`; install the program that they name, or put its directory " +
				"first in gateways.NAME.launch.path_prepend, then run `gatehost start NAME`",
		}
	}},
	{exitsWith(126), func(*examination) doctor.Finding {
		return doctor.Finding{
			Code: codeNotExecutable, Severity: plugin.SeverityError, Fatal: true,
			Text: "the gateway's command ended with exit code 126: a program that it needs could not be executed",
			Hint: "look at the last lines with `gatehost logs NAME`; make the file that they name executable " +
				"(`chmod +x FILE`), or correct its first line, then run `gatehost start NAME`",
		}
	}},
	{exitsWith(134), func(*examination) doctor.Finding {
		return doctor.Finding{
			Code: codeAborted, Severity: plugin.SeverityError,
			Text: "the gateway aborted (SIGABRT, exit code 134): Node.js does so when its memory is used up, and when it " +
				"finds a fault in itself",
			Hint: "look at the last lines with `gatehost logs NAME`; when they name the heap, set NODE_OPTIONS = " +
				"\"--max-old-space-size=4096\" in [gateways.NAME.launch.env] and run `gatehost restart NAME`; else install " +
				"Node.js again",
		}
	}},
	{exitsWith(0), func(c *examination) doctor.Finding {
		return doctor.Finding{
			Code: codeEndedAtOnce, Severity: plugin.SeverityError,
			Text: fmt.Sprintf("the gateway's command ended with exit code 0 before it listened on port %d: it started "+
				"something in the background, or it is not the command that runs the gateway", c.req.Gateway.Port),
			Hint: "run it by hand to see what it does: `" + c.commandLine() + "`; gateways.NAME.launch.command has to stay " +
				"in the foreground, without `&`, `start` or a flag like --daemon",
		}
	}},
}

// exitsWith matches an exit code, and the signal by which a process ends that a shell reports with that code.
func exitsWith(code int) func(plugin.Exit) bool {
	return func(x plugin.Exit) bool {
		return x.Code == code && x.Signal == "" || code == 134 && x.Signal == "SIGABRT"
	}
}

// explained are the symptoms that explain an end better than its exit code does.
var explained = []plugin.Symptom{
	plugin.SymptomConfigInvalid, plugin.SymptomConfigMissing, plugin.SymptomRuntimeFatal, plugin.SymptomMigrationLocked,
	plugin.SymptomPortConflict, plugin.SymptomStateLocked,
}

// fromEnd returns what the process's end, or the host's own error, says without words of the gateway. known says that
// its words show an error already.
func (c *examination) fromEnd(known bool) []doctor.Finding {
	i := c.req.Incident
	var out []doctor.Finding
	// not when the host gave up waiting and killed it
	itself := i.ErrorCode == "exited_before_ready" || i.ErrorCode == "exited"
	if x := i.Exit; itself && x != nil && x.Known {
		if x.Signal == "SIGKILL" || x.Signal == "" && x.Code == 137 {
			out = append(out, doctor.Finding{
				Code: "killed", Severity: plugin.SeverityError, Evidence: []string{x.String()},
				Text: "something killed the gateway with SIGKILL; when no person did, it was the kernel for lack of memory",
				Hint: "look for `Out of memory` in `journalctl -k` or dmesg, and give the machine or the gateway's container " +
					"more memory",
			})
		}
		if !known && !slices.ContainsFunc(explained, i.Shows) {
			out = append(out, c.ended(*x)...)
		}
	}
	if f, ok := refusals[i.ErrorCode]; ok {
		f.Severity, f.Fatal, f.Evidence = plugin.SeverityError, true, []string{i.ErrorMessage}
		out = append(out, f)
	}
	return append(out, c.reported()...)
}

// ended returns what an exit code alone shows, with the last words as evidence.
func (c *examination) ended(x plugin.Exit) []doctor.Finding {
	for _, e := range endings {
		if !e.exits(x) {
			continue
		}
		if x.Code == 0 && x.Signal == "" && c.req.Incident.ErrorCode != "exited_before_ready" {
			continue // a gateway that ran ends with 0 for many reasons
		}
		f := e.finding(c)
		f.Evidence = []string{x.String()}
		for _, w := range c.words[max(0, len(c.words)-2):] {
			f.Evidence = append(f.Evidence, cut(w))
		}
		return []doctor.Finding{f}
	}
	return nil
}

// launchFailed is how the host begins the error of a launch that found no program, or may not execute it.
const launchFailed = "cannot launch gateway: exec "

// reported returns what the host itself found: a port that another process has, a program that could not be started.
func (c *examination) reported() []doctor.Finding {
	i := c.req.Incident
	f := doctor.Finding{Severity: plugin.SeverityError, Text: i.ErrorMessage, Fatal: true}
	switch {
	case i.ErrorMessage == "":
		return nil
	case i.ErrorCode == "port_conflict":
		f.Code, f.OtherOwner, f.Fatal, f.Hint = codePortTaken, true, false, freePort(i.ErrorMessage, c.req.Gateway.Port)
	case i.ErrorCode == "not_found" && strings.HasPrefix(i.ErrorMessage, launchFailed):
		f.Code = codeProgramMissing
		f.Hint = "install the program, or set its path in gateways.NAME.launch.command (`command -v openclaw` shows it), " +
			"then run `gatehost start NAME`"
		if file, found := cutInterpreter(i.ErrorMessage); found {
			f.Hint = "install the program that the first line of the file names (`head -n 1 " + file + "`), then run " +
				"`gatehost start NAME`"
		}
	case i.ErrorCode == "permission_denied" && strings.HasPrefix(i.ErrorMessage, launchFailed):
		f.Code, f.Hint = codeNotExecutable, "make it executable for the user that runs gatehost (`chmod +x FILE`), then "+
			"run `gatehost start NAME`"
	default:
		return nil
	}
	return []doctor.Finding{f}
}

func cutInterpreter(message string) (file string, found bool) {
	_, file, found = strings.Cut(message, ": the interpreter of ")
	return file, found
}

var holderPID = regexp.MustCompile(`\bpid (\d+)\b`)

// freePort says how to free a port, with the pid that a text names.
func freePort(text string, port int) string {
	const other = ", or set another gateways.NAME.port in config.toml and run `gatehost config reload`"
	if m := holderPID.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("look at that process with `ps -o pid,user,lstart,args -p %s` and end it with `kill %s` or by "+
			"the service that starts it%s", m[1], m[1], other)
	}
	return fmt.Sprintf("see which process listens: `sudo ss -tlnp 'sport = :%d'`, and end it%s", port, other)
}

// missing are the words of `env`, of shells and of the kernel about a program that is not there.
var missing = []*regexp.Regexp{
	regexp.MustCompile(`^(?:\S*/)?env: (?:can't execute )?[‘'"]?([^'"’‘:\s]+)[’'"]?: No such file or directory`),
	regexp.MustCompile(`^.*: bad interpreter: (?:No such file|.*not found)`),
	regexp.MustCompile(`^.*: cannot execute: required file not found`),
	regexp.MustCompile(`\bcommand not found: (\S+)$`),
	regexp.MustCompile(`^(?:.*[:\s])?([^\s:]+): (?:command )?not found$`),
	regexp.MustCompile(`^'([^']+)' is not recognized as an internal or external command`),
}

// programs are the names of a JavaScript runtime.
var programs = []string{"node", "nodejs", "node.exe", "bun"}

// missingProgram tells a missing Node.js from another missing program. Without the exit code of a shell that did not
// find a program the words are about something else, unless it is Node.js that `env` did not find.
func missingProgram(f *doctor.Finding, c *examination) bool {
	name, said := "", false
	for _, w := range f.Evidence {
		for _, p := range missing {
			if m := p.FindStringSubmatch(w); m != nil {
				said = true
				if len(m) > 1 && name == "" {
					name = m[1]
				}
			}
		}
	}
	x := c.req.Incident.Exit
	if !said {
		return false
	}
	shell := x != nil && x.Known && x.Signal == "" && (x.Code == 126 || x.Code == 127 || x.Code == 9009)
	if !slices.Contains(programs, name) {
		f.Text = "the gateway's command needs " + cmp.Or(name, "a program") + ", which was not found"
		f.Hint = "install it, or put its directory first in gateways.NAME.launch.path_prepend, then run " +
			"`gatehost start NAME`"
		return shell
	}
	f.Code = codeNodeMissing
	f.Text = "the gateway needs Node.js, and no `" + name + "` is on the PATH that gatehost gives it"
	f.Hint = "run `dirname \"$(command -v " + name + ")\"` in the shell in which it works, put what it prints first in " +
		"path_prepend of [gateways.NAME.launch] (path_prepend = [\"/opt/node/bin\"]), run `gatehost config reload`, then " +
		"`gatehost start NAME`"
	return shell || x == nil || !x.Known || x.Code != 0
}

// commandLine is what the host runs, to be pasted into a shell.
func (c *examination) commandLine() string {
	plain := regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)
	words := slices.Concat(c.req.Gateway.Command, c.req.Gateway.Args)
	for i, w := range words {
		if !plain.MatchString(w) {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return cut(strings.Join(words, " "))
}
