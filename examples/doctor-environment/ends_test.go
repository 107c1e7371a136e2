package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/plugin"
)

func exited(code int, lines ...string) *doctor.Incident {
	i := failed(code, stderr(lines...)...)
	return i
}

// TestEndOfACommandIsNamedWithWhatToDo: one row for each way in which a command ends before it is a gateway.
func TestEndOfACommandIsNamedWithWhatToDo(t *testing.T) {
	aborted := exited(0)
	aborted.Exit = &plugin.Exit{Signal: "SIGABRT", Known: true}
	busy := exited(0)
	busy.Symptoms = []plugin.Symptom{plugin.SymptomStateLocked}
	ran := exited(0)
	ran.ErrorCode = "exited"
	for _, row := range []struct {
		name     string
		incident *doctor.Incident
		code     string
		fatal    bool
		hint     string // a part of it
	}{
		{"env of GNU", exited(127, "/usr/bin/env: ‘node’: No such file or directory"), "node-missing", true, "path_prepend"},
		{
			"env in the C locale", exited(127, "/usr/bin/env: 'node': No such file or directory"), "node-missing", true,
			"command -v node",
		},
		{"env of macOS", exited(127, "env: node: No such file or directory"), "node-missing", true, "gatehost start main"},
		{
			"env of busybox", exited(127, "env: can't execute 'node': No such file or directory"), "node-missing", true,
			"path_prepend",
		},
		{"dash", exited(127, "/usr/local/bin/openclaw: 2: node: not found"), "node-missing", true, "path_prepend"},
		{
			"dash, exec", exited(127, "/usr/local/bin/openclaw: 2: exec: node: not found"), "node-missing", true, "path_prepend",
		},
		{
			"bash", exited(127, "/usr/local/bin/openclaw: line 3: node: command not found"), "node-missing", true,
			"path_prepend",
		},
		{"zsh", exited(127, "zsh:1: command not found: node"), "node-missing", true, "path_prepend"},
		{
			"a wrapper with a code of its own", exited(1, "env: node: No such file or directory"), "node-missing", true,
			"path_prepend",
		},
		{"another program", exited(127, "run.sh: line 3: jq: command not found"), "program-missing", true, "path_prepend"},
		{
			"an interpreter", exited(126, "bash: /opt/openclaw: /no/such: bad interpreter: No such file or directory"),
			"program-missing", true, "gatehost start main",
		},
		{"127 without words", exited(127), "program-missing", true, "gatehost logs main"},
		{"126 without words", exited(126), "program-not-executable", true, "chmod +x"},
		{
			"126 with words", exited(126, "run.sh: line 2: ./gw: Permission denied"), "program-not-executable", true, "chmod +x",
		},
		{"0 before it listens", exited(0), "ended-before-listening", false, "`openclaw gateway --port 18805`"},
		{"abort by a shell's code", exited(134), "aborted", false, "max-old-space-size"},
		{"abort by its signal", aborted, "aborted", false, "max-old-space-size"},
		{
			"heap", exited(134, "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory"),
			"out-of-memory", false, "max-old-space-size",
		},
		{
			"a module that is not there", exited(1, "Error: Cannot find module '/opt/openclaw/dist/entry.js'"),
			"package-incomplete", false, "npm install",
		},
		{
			"a temporary directory of another user",
			exited(78, "Doctor cannot repair this state: Unsafe fallback OpenClaw temp dir: /home/u/.cache/openclaw-65534 | "+
				"EACCES: permission denied"), "temp-dir-unsafe", true, "ls -ld /home/u/.cache/openclaw-65534",
		},
		{"the classifier knows better", busy, "", false, ""},
		{"it had listened", ran, "", false, ""},
		{"words of a plugin, and another code", exited(1, "[gateway] skill weather: jq: command not found"), "", false, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			gw := facts
			gw.Command, gw.Args = []string{"openclaw"}, []string{"gateway", "--port", "18805"}
			got, err := newDoctor(roomy()).Diagnose(t.Context(), doctor.DiagnoseRequest{Gateway: gw, Incident: row.incident})
			if err != nil {
				t.Fatal(err)
			}
			if row.code == "" {
				if len(got.Findings) != 0 {
					t.Errorf("findings = %+v, want none", got.Findings)
				}
				return
			}
			if !slices.Equal(codesOf(got.Findings), []string{row.code}) {
				t.Fatalf("findings = %+v, want %s", got.Findings, row.code)
			}
			if f := got.Findings[0]; f.Fatal != row.fatal || !strings.Contains(f.Hint, row.hint) ||
				strings.Contains(f.Hint, "NAME") {
				t.Errorf("finding = %+v, want fatal %v and a hint with %q", f, row.fatal, row.hint)
			}
		})
	}
}

// TestWhatTheHostReportsIsAFinding: there is no process and no line, only the host's own error.
func TestWhatTheHostReportsIsAFinding(t *testing.T) {
	for _, row := range []struct{ code, message, want, hint string }{
		{
			"port_conflict", "port 18805 is held by pid 4242 (python3 -m http.server), which is no gateway", "port-taken",
			"kill 4242",
		},
		{"port_conflict", "port 18805 is held by a process that this user may not see", "port-taken", "sport = :18805"},
		{"not_found", `cannot launch gateway: exec "openclaw": not found`, "program-missing", "launch.command"},
		{
			"not_found", `cannot launch gateway: exec "/opt/gw": not found: the interpreter of /opt/gw`, "program-missing",
			"head -n 1 /opt/gw",
		},
		{
			"permission_denied", `cannot launch gateway: exec "/opt/gw": permission denied`, "program-not-executable",
			"chmod +x",
		},
		{
			"AUTH_TOKEN_MISMATCH", "the gateway refused the session; the port is held by pid 7", "token-refused",
			"gatehost restart main",
		},
		{"tls_required", "the gateway speaks TLS", "tls-on-port", "openclaw config set gateway.tls.enabled false"},
		{
			"tls_expected", "the gateway does not speak TLS", "no-tls-on-port", "openclaw config set gateway.tls.enabled true",
		},
		{"not_found", "no launch 7", "", ""},
		{"start_timeout", "the gateway did not start in time", "", ""},
	} {
		got := diagnose(t, roomy(), &doctor.Incident{ErrorCode: row.code, ErrorMessage: row.message})
		if row.want == "" {
			if len(got) != 0 {
				t.Errorf("%s: %+v", row.message, got)
			}
			continue
		}
		if !slices.Equal(codesOf(got), []string{row.want}) || !strings.Contains(got[0].Hint, row.hint) {
			t.Errorf("%s: %+v, want %s with %q", row.message, got, row.want, row.hint)
		}
		if text := got[0].Text + strings.Join(got[0].Evidence, ""); !strings.Contains(text, row.message) {
			t.Errorf("%s: the message is not in %+v", row.message, got[0])
		}
	}
}
