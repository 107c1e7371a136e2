package e2e_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ranCommand is the data of an event about a command that was run for a doctor, or refused.
type ranCommand struct {
	Plugin     string   `json:"plugin"`
	Kind       string   `json:"kind"`
	Argv       []string `json:"argv"`
	Refused    bool     `json:"refused"`
	Code       *int     `json:"code"`
	DurationMs int64    `json:"durationMs"`
	Sandboxed  bool     `json:"sandboxed"`
	Why        string   `json:"why"`
	Error      *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// ranCommands are all such events of the site, from the journal.
func (s *site) ranCommands() []ranCommand {
	s.t.Helper()
	var out []ranCommand
	for line := range strings.Lines(s.must("events", "main", "--json")) {
		var e struct {
			Type string     `json:"type"`
			Data ranCommand `json:"data"`
		}
		if !strings.Contains(line, `"gateway.doctor.command"`) {
			continue
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			s.t.Fatalf("%v: %s", err, line)
		}
		if strings.Contains(line, canary) || strings.Contains(line, inConfig) {
			s.t.Errorf("the event shows a secret: %s", line)
		}
		out = append(out, e.Data)
	}
	return out
}

func badPlugin(name, more string) string {
	return fmt.Sprintf("[plugins.%s]\npath = %q\nargs = [%q]\n%s\n", name, filepath.Join(bin, "bad-plugin"), name, more)
}

// landlock is the level of this kernel's sandbox, as the host says it of the shipped doctor; 0: there is none.
func (s *site) landlock() int {
	s.t.Helper()
	level := 0
	_, rest, _ := strings.Cut(s.must("plugin", "info", "doctor"), "landlock ABI ")
	_, _ = fmt.Sscanf(rest, "%d", &level)
	return level
}

func TestDoctorThatAsksForOtherCommandsRunsNoneOfThem(t *testing.T) {
	aDoctorRunsKnownCommandsOnly(t, emulator(""))
}

func aDoctorRunsKnownCommandsOnly(t *testing.T, gw gateway) {
	t.Helper()
	s := newSite(t, gw)
	s.program("oc/wrapper", []byte("#!/bin/sh\ntouch \"$(dirname \"$0\")/ran\"\n"), 0o755)
	s.writeConfig(withDoctors(s, []string{"commander", "nul"}, badPlugin("commander", "")+badPlugin("nul", "")))
	s.run()
	s.awaitState("running")
	said := s.must("doctor", "main")
	if !strings.Contains(said, "planted: good lint plain version of 15") {
		t.Errorf("the doctor got more, or nothing:\n%s", said)
	}
	refused, level := 0, s.landlock()
	ran := map[string]int{}
	for _, c := range s.ranCommands() {
		words := strings.Join(c.Argv, " ")
		switch {
		case c.Refused && (c.Error == nil || c.Plugin != "commander" || c.Code != nil || c.Sandboxed):
			t.Errorf("refused: %+v", c)
		case c.Refused:
			refused++
		case c.Kind != "evidence" || c.Code == nil || c.Sandboxed != (level > 0) || c.Sandboxed != (c.Why == "") ||
			!strings.HasPrefix(words, strings.Join(gw.command, " ")):
			t.Errorf("ran: %+v", c)
		default:
			ran[c.Plugin]++
		}
	}
	if refused != 12 || ran["commander"] != 4 || ran["doctor"] != 1 { // eleven as evidence, one as a step
		t.Errorf("refused %d, ran %v", refused, ran)
	}
	if n := strings.Count(said, "skipped: "); n != 13 { // the doctor with the NUL is skipped as a whole
		t.Errorf("%d refusals are told, want 13:\n%s", n, said)
	}
	if !strings.Contains(said, `with the words ["plugins" "install" "--force" "--link"`) ||
		!strings.Contains(said, "cannot plan the repair of commander") {
		t.Errorf("the refusals do not say what was refused:\n%s", said)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "oc", "ran")); err == nil {
		t.Error("the wrapper ran")
	}
	s.must("stop", "main")
	s.shutdown()
}

// spy is a gateway whose validator says what it can reach.
const spy = `#!/bin/sh
case "$1 $2" in
"config validate")
	env | grep -q %[1]s && echo "the token is in the environment"
	env | grep -q "^PROVIDER_API_KEY=%[2]s" && echo "the provider's key is in the environment"
	[ -n "$OPENCLAW_GATEWAY_TOKEN" ] && echo "token is set"
	cat "$HOME/secret" 2>/dev/null
	cat "$OPENCLAW_CONFIG_PATH" >/dev/null && echo "reads the configuration"
	echo x >"$OPENCLAW_STATE_DIR/written" 2>/dev/null && echo "writes the state"
	echo x >"$HOME/written" 2>/dev/null && echo "writes the home"
	echo x >"$TMPDIR/written" && echo "writes a temporary file"
	%[3]s
	echo done ;;
*) exec %[4]q "$@" ;;
esac
`

// TestEvidenceOfADoctorSeesNoSecretAndWritesNothing needs landlock for all but the environment.
func TestEvidenceOfADoctorSeesNoSecretAndWritesNothing(t *testing.T) {
	s := newSite(t, emulator(""))
	s.temp = filepath.Join(s.dir, "tmp") // other tests run beside this one
	if err := os.Mkdir(s.temp, 0o700); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	dial := fmt.Sprintf("bash -c 'exec 3<>/dev/tcp/127.0.0.1/%d' 2>/dev/null && echo connects",
		listener.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert // what it listens on
	emu := s.gw.command[0]
	script := fmt.Appendf(nil, spy, canary, "canary-of-a-provider", dial, emu)
	s.gw.command = []string{s.program("gw/openclaw", script, 0o755)}
	s.program("home/secret", []byte("the secret of the home\n"), 0o600)
	s.gw.env["PROVIDER_API_KEY"] = "canary-of-a-provider"
	s.breakConfig(goodConfig(0))
	s.writeConfig(withDoctors(s, []string{"reporter"}, badPlugin("reporter", "")))
	s.run()
	s.awaitState("running")
	said := s.must("doctor", "main")
	for _, want := range []string{"token is set", "reads the configuration", "writes a temporary file", "done"} {
		if !strings.Contains(said, want) {
			t.Errorf("the evidence lacks %q:\n%s", want, said)
		}
	}
	bad := []string{"the token is in the environment", "the provider's key is in"}
	level := s.landlock()
	if level > 0 {
		bad = append(bad, "the secret of the home", "writes the state", "writes the home")
	}
	if level >= 4 {
		bad = append(bad, "connects")
	}
	for _, word := range bad {
		if strings.Contains(said, word) {
			t.Errorf("the evidence says %q:\n%s", word, said)
		}
	}
	left, err := filepath.Glob(filepath.Join(s.temp, "gatehost-command-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	// switched off, the event says so
	s.writeConfig(withDoctors(s, []string{"reporter"}, badPlugin("reporter", "")) +
		"[gateways.main.repair]\nevidence_sandbox = \"off\"\n")
	s.must("config", "reload")
	said = s.must("doctor", "main")
	if !strings.Contains(said, "the secret of the home") || strings.Contains(said, "is in the environment") {
		t.Errorf("without the sandbox:\n%s", said)
	}
	all := s.ranCommands()
	// the shipped doctor's, which is asked last
	if last := all[len(all)-1]; last.Sandboxed || last.Why != "repair.evidence_sandbox is off" {
		t.Errorf("the event says %+v", last)
	}
	s.must("stop", "main")
	s.shutdown()
}

func TestAutomaticRepairOfADoctorWritesTheConfigurationOnly(t *testing.T) {
	s := newSite(t, emulator("exit-at-once=3"))
	target := filepath.Join(s.dir, "oc", "index.js")
	s.writeConfig(withDoctors(s, []string{"writer"}, badPlugin("writer", "")) +
		"[gateways.main.repair]\nmode = \"auto\"\n")
	s.run()
	s.eventually("the start is diagnosed", func() (bool, string) {
		out, errOut, _ := s.cli("events", "main", "--json")
		return strings.Contains(out, `"code":"writer"`), out + errOut
	})
	s.eventually("the refusal is logged", func() (bool, string) {
		log := s.stderr.String()
		return strings.Contains(log, "is not carried out without a request"), log
	})
	if _, err := os.Stat(target); err == nil {
		t.Fatal("a doctor without a grant has written a program, and no operator was asked")
	}
	s.cli("stop", "main")
	// the grant that names it
	s.writeConfig(withDoctors(s, []string{"writer"}, badPlugin("writer", "grant = [\"gateway-files\"]")) +
		"[gateways.main.repair]\nmode = \"auto\"\n")
	s.must("config", "reload")
	if out := s.must("plugin", "info", "writer"); !strings.Contains(out, "gateway-files") {
		t.Errorf("plugin info does not show the grant:\n%s", out)
	}
	s.cli("start", "main")
	s.eventually("the plan is carried out with the grant", func() (bool, string) {
		_, err := os.Stat(target)
		return err == nil, fmt.Sprint(err)
	})
	s.cli("stop", "main")
	s.shutdown()
}
