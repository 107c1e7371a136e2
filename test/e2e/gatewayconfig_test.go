package e2e_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hush is a secret in the gateway's configuration. It must be found nowhere but there and in the copies for undo.
const hush = "hush-3b1f77aa90-key"

const annotated = `{
  // how we run it
  gateway: { mode: 'local', auth: { mode: 'password', token: 'of-another-program' } }, // never remote
  models: { providers: { custom: { baseUrl: 'http://127.0.0.1:9', apiKey: '` + hush + `',
    api: 'openai-completions', models: [] } } },
}
`

const bare = `{
  "gateway": {"mode": "local", "auth": {"mode": "token", "token": "` + canary + `"}},
  "models": {"providers": {"custom": {"baseUrl": "http://127.0.0.1:9", "apiKey": "` + hush + `",
    "api": "openai-completions", "models": []}}}
}
`

// aConfigurationIsEdited is B260, B322, B329 and the interface's gateway-config: by the gateway while it runs, in the
// file while not.
func aConfigurationIsEdited(t *testing.T, gw gateway) {
	t.Helper()
	q := gw.quirks()
	s := newSite(t, gw)
	file := filepath.Join(s.dir, "oc", "openclaw.json")
	text := func() string {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	s.writeFile("oc/openclaw.json", annotated)
	s.extra = "[log]\nframes = true\n"
	s.writeConfig(strings.NewReplacer("port = ", "autostart = false\nport = ",
		`{env = "GH_TEST_TOKEN"}`, `{env = "GH_TEST_TOKEN", align = "write"}`).Replace(s.config()))
	s.startHost()
	s.awaitState("stopped")

	// Stopped: the file is edited, comments and all.
	if got := s.must("gateway-config", "main", "get", "gateway.mode"); got != "\"local\"\n" {
		t.Errorf("get = %q", got)
	}
	s.must("gateway-config", "main", "set", "logging.level", "debug")
	if got := text(); !strings.Contains(got, "// never remote") || !strings.Contains(got, `"level": "debug"`) ||
		strings.Count(got, "\n") != strings.Count(annotated, "\n")+3 {
		t.Errorf("the file is\n%s", got)
	}
	s.must("gateway-config", "main", "undo")
	if got := text(); got != annotated {
		t.Errorf("undo left\n%s", got)
	}
	if _, errOut, code := s.cli("gateway-config", "main", "undo"); code != 1 ||
		!strings.Contains(errOut, "no edit to undo") {
		t.Errorf("a second undo: exit %d, %s", code, errOut)
	}

	// Running: the gateway is asked. It would drop the comments, which needs leave.
	s.must("start", "main")
	before := s.awaitState("running")
	// B321: the file beats the environment; token.align says that it may be changed
	aligned := strings.NewReplacer("'password'", `"token"`, "'of-another-program'", `"`+canary+`"`).Replace(annotated)
	if got := text(); got != aligned {
		t.Errorf("the file is\n%s\nwant\n%s", got, aligned)
	}
	if _, errOut, code := s.cli("gateway-config", "main", "set", "logging.level", "debug"); code != 1 ||
		!strings.Contains(errOut, "--drop-comments") || text() != aligned {
		t.Errorf("exit %d, %s, the file is\n%s", code, errOut, text())
	}
	s.writeFile("oc/openclaw.json", bare)
	var edited struct {
		Outcome, Source string
		RequiresRestart *bool
		Changes         []struct{ Path string }
	}
	out := s.must("gateway-config", "main", "set", "logging.level", "debug", "--json")
	if err := json.Unmarshal([]byte(out), &edited); err != nil || edited.Outcome != "changed" ||
		edited.Source != "gateway" ||
		(edited.RequiresRestart != nil) != q.ReloadKind || q.ReloadKind && *edited.RequiresRestart {
		t.Errorf("%v: %s", err, out)
	}
	if got := text(); !strings.Contains(got, `"level": "debug"`) || !strings.Contains(got, hush) ||
		strings.Contains(got, "REDACTED") {
		t.Errorf("the file is\n%s", got)
	}
	if got := s.must("gateway-config", "main", "get"); strings.Contains(got, hush) ||
		!strings.Contains(got, `"level": "debug"`) {
		t.Errorf("get shows\n%s", got)
	}
	if got := s.must("gateway-config", "main", "set", "logging.level", "debug"); !strings.HasPrefix(got, "unchanged") {
		t.Errorf("the same again: %s", got)
	}
	s.must("gateway-config", "main", "undo")
	if got := text(); strings.Contains(got, `"debug"`) || !strings.Contains(got, hush) {
		t.Errorf("undo left\n%s", got)
	}
	if _, errOut, code := s.cli("gateway-config", "main", "set", "gateway.port", "x"); code != 1 ||
		!strings.Contains(errOut, "gateway.port") {
		t.Errorf("an invalid value: exit %d, %s", code, errOut)
	}

	// A change that the gateway restarts itself for: the host takes it for normal.
	out = s.must("gateway-config", "main", "patch", `{gateway: {bind: "loopback"}}`, "--json")
	edited.RequiresRestart = nil
	if err := json.Unmarshal([]byte(out), &edited); err != nil || (edited.RequiresRestart != nil) != q.ReloadKind ||
		q.ReloadKind && !*edited.RequiresRestart || edited.Changes[0].Path != "gateway.bind" {
		t.Errorf("%v: %s", err, out)
	}
	after := s.await("the gateway has restarted itself", func(g gatewayStatus) bool {
		restarted := g.BootID != before.BootID && g.BootID != ""
		if !q.BootID {
			restarted = strings.Contains(s.must("logs", "main", "--raw", "-n", "0"), "restart mode: in-process restart")
		}
		return g.State == "running" && restarted
	})
	if after.PID != before.PID || after.Restarts != 0 || after.Error != nil {
		t.Errorf("before %+v\nafter  %+v", before, after)
	}
	s.must("stop", "main")
	s.shutdown()
	s.noTrace(hush, "edits")
	s.noTrace(canary, "edits")
	// B352
	for _, want := range []string{
		"method=connect", "event connect.challenge", "method=config.set", "event shutdown", `"raw":"[redacted]"`,
		`"baseHash"`,
	} {
		if !strings.Contains(strings.ReplaceAll(s.stderr.String(), `\"`, `"`), want) {
			t.Errorf("the trace of frames lacks %s", want)
		}
	}
}

// noTrace checks that a secret is in nothing that the host wrote, but for one directory of its state.
func (s *site) noTrace(secret, except string) {
	s.t.Helper()
	if strings.Contains(s.stderr.String(), secret) {
		s.t.Errorf("the host's terminal shows a secret")
	}
	state := filepath.Join(s.dir, "state")
	err := filepath.WalkDir(state, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			// copies of the file
			if d != nil && (path == filepath.Join(state, except) || path == filepath.Join(state, "last-good")) {
				return filepath.SkipDir
			}
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), secret) {
			s.t.Errorf("%s holds a secret", path)
		}
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
}

func TestConfigurationOfTheEmulatorIsEdited(t *testing.T) { aConfigurationIsEdited(t, emulator("")) }
