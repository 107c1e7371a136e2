package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/internal/testhost"
)

// reloadAnswer is the answer of config reload --json.
type reloadAnswer struct {
	Outcome string         `json:"outcome"`
	Changes []reloadChange `json:"changes"`
	Faults  []string       `json:"faults"`
}

type reloadChange struct {
	Scope  string   `json:"scope"`
	Name   string   `json:"name"`
	Action string   `json:"action"`
	Keys   []string `json:"keys"`
	Result string   `json:"result"`
	Error  *struct {
		Message string `json:"message"`
		Hint    string `json:"hint"`
	} `json:"error"`
}

// of is what was done to one thing with one action; the zero value when nothing was.
func (r reloadAnswer) of(scope, name, action string) reloadChange {
	for _, c := range r.Changes {
		if c.Scope == scope && c.Name == name && c.Action == action {
			return c
		}
	}
	return reloadChange{}
}

// keys are those of a scope with a result.
func (r reloadAnswer) keys(scope, result string) (out []string) {
	for _, c := range r.Changes {
		if c.Scope == scope && c.Result == result {
			out = append(out, c.Keys...)
		}
	}
	return out
}

// reload writes a configuration and lets the host read it.
func (s *site) reload(text string, flags ...string) (reloadAnswer, int) {
	s.t.Helper()
	s.writeConfig(text)
	out, errOut, code := s.cli(append([]string{"config", "reload", "--json", "--host", s.socket()}, flags...)...)
	var r reloadAnswer
	if out != "" {
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			s.t.Fatalf("config reload --json: %v\n%s", err, out)
		}
	}
	if code != 0 && out == "" {
		r.Faults = []string{errOut}
	}
	s.t.Logf("exit %d, %s%s", code, out, errOut)
	return r, code
}

// socket is where the host listens, whatever the configuration says meanwhile.
func (s *site) socket() string {
	s.t.Helper()
	found, err := filepath.Glob(filepath.Join(s.dir, "run", "gatehost", "*", "host.sock"))
	if err != nil || len(found) != 1 {
		s.t.Fatalf("sockets: %v, %v", found, err)
	}
	return found[0]
}

// life is what must not change of a gateway that is not touched.
type life struct {
	State    string `json:"state"`
	PID      int    `json:"pid"`
	LaunchID string `json:"launchId"`
	Restarts int    `json:"restarts"`
	BootID   string `json:"bootId"`
	Session  *struct {
		ConnID string `json:"connId"`
	} `json:"session"`
}

func (s *site) life(name string) string {
	s.t.Helper()
	out := s.must("status", name, "--json")
	var st struct {
		Gateways []life `json:"gateways"`
		life
	}
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		s.t.Fatalf("status: %v\n%s", err, out)
	}
	one := st.life
	if len(st.Gateways) > 0 {
		one = st.Gateways[0]
	}
	if one.Session == nil || one.State != "running" {
		s.t.Fatalf("%s does not run: %s", name, out)
	}
	return fmt.Sprint(one.State, one.PID, one.LaunchID, one.Restarts, one.BootID, one.Session.ConnID)
}

// talkative is an emulator that prints a line now and then, and one that fails to start with a word while a file is
// there.
func talkative(s *site) gateway {
	gw := emulator("count-lines=40")
	gw.command = []string{"/bin/sh", "-c", fmt.Sprintf(
		`[ ! -e %q ] || { echo "a planted zebra" >&2; exit 3; }; exec %s "$@"`, filepath.Join(s.dir, "fail"), gw.command[0],
	), "sh"}
	return gw
}

// with puts a plugin of rules in front of a chain.
func with(text, chain, table string) string {
	return strings.Replace(text, chain+` = ["doctor"]`, chain+` = ["rules", "doctor"]`, 1) + table
}

func rulesTable(word, more string) string {
	return fmt.Sprintf("[plugins.rules]\npath = %q\n%s[plugins.rules.config]\nword = %q\n",
		filepath.Join(bin, "rules-plugin"), more, word)
}

// claimed waits for a line that a rule of the plugin has claimed.
func (s *site) claimed(rule string) {
	s.t.Helper()
	s.eventually("a line that is claimed by the rule "+rule, func() (bool, string) {
		out := s.must("logs", "main", "--json", "-n", "20")
		return strings.Contains(out, `"ruleId":"`+rule+`","plugin":"rules"`), out
	})
}

// TestPluginsChangeUnderARunningGateway: tables come, change, are exchanged, refused and go; the gateway and its
// session notice nothing, and what is said next is judged by what holds then.
func TestPluginsChangeUnderARunningGateway(t *testing.T) {
	s := newSite(t, gateway{})
	s.gw = talkative(s)
	s.run()
	s.awaitState("running")
	base := s.config()
	before := s.life("main")
	untouched := func(what string) {
		t.Helper()
		if now := s.life("main"); now != before {
			t.Errorf("%s: the gateway was %s, is %s", what, before, now)
		}
	}

	r, code := s.reload(base)
	if code != 0 || r.Outcome != "unchanged" || len(r.Changes) != 0 {
		t.Errorf("the same file: exit %d, %+v", code, r)
	}
	planned, code := s.reload(with(base, "classifiers", rulesTable("count", "")), "--dry-run")
	if code != 0 || planned.Outcome != "planned" || planned.of("plugin", "rules", "added").Result != "applied" ||
		pluginOf(t, s, "rules").PID != 0 {
		t.Errorf("a dry run: exit %d, %+v", code, planned)
	}

	r, code = s.reload(with(base, "classifiers", rulesTable("count", "")))
	if code != 0 || r.Outcome != "applied" || r.of("plugin", "rules", "added").Result != "applied" ||
		!slices.Equal(r.keys("gateway", "applied"), []string{"gateways.main.classifiers"}) {
		t.Errorf("a plugin is added: exit %d, %+v", code, r)
	}
	s.claimed("count")
	untouched("added")
	was := pluginOf(t, s, "rules")

	r, code = s.reload(with(base, "classifiers", rulesTable("of", "")))
	if code != 0 || r.of("plugin", "rules", "configured").Result != "applied" || len(r.Changes) != 1 {
		t.Errorf("another table: exit %d, %+v", code, r)
	}
	s.claimed("of")
	if now := pluginOf(t, s, "rules"); now != was {
		t.Errorf("a table is told, and no process replaced: before %+v, after %+v", was, now)
	}

	r, code = s.reload(with(base, "classifiers", rulesTable("", "")))
	refused := r.of("plugin", "rules", "configured")
	if code != 1 || r.Outcome != "partly" || refused.Result != "failed" || refused.Error == nil ||
		!strings.Contains(refused.Error.Message, "plugins.rules.config.word: is empty") ||
		!strings.Contains(refused.Error.Message, "config.toml:") {
		t.Errorf("a table that the plugin refuses: exit %d, %+v", code, r)
	}
	s.claimed("of")
	if out := s.must("status"); !strings.Contains(out, "config-partly") {
		t.Errorf("status = %s", out)
	}
	if now := pluginOf(t, s, "rules"); now != was {
		t.Errorf("refused: before %+v, after %+v", was, now)
	}

	r, code = s.reload(with(base, "classifiers", rulesTable("of", "path = \"/nowhere/rules\"\n")))
	if code != 78 || len(r.Faults) == 0 { // the key is written twice
		t.Errorf("a file that is no TOML: exit %d, %+v", code, r)
	}
	r, code = s.reload(strings.Replace(with(base, "classifiers", rulesTable("of", "")), filepath.Join(bin, "rules-plugin"),
		"/nowhere/rules", 1))
	gone := r.of("plugin", "rules", "replaced")
	if code != 1 || gone.Result != "failed" || gone.Error == nil ||
		!strings.Contains(gone.Error.Message, "/nowhere/rules") || gone.Error.Hint == "" {
		t.Errorf("a program that is not there: exit %d, %+v", code, r)
	}
	r, code = s.reload(with(base, "classifiers", rulesTable("of", "args = [\"another\"]\n")))
	if code != 0 || r.of("plugin", "rules", "replaced").Result != "applied" {
		t.Errorf("other arguments: exit %d, %+v", code, r)
	}
	if now := pluginOf(t, s, "rules"); now.PID == was.PID || now.State != "running" {
		t.Errorf("replaced: before %+v, after %+v", was, now)
	}
	s.claimed("of")
	untouched("replaced")

	s.writeConfig(base)
	if err := s.host.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.eventually("the plugin is gone, and its processes", func() (bool, string) {
		if p := pluginOf(t, s, "rules"); p.PID != 0 {
			return false, fmt.Sprint(p)
		}
		left := slices.ContainsFunc(s.processes(), func(p process) bool { return strings.Contains(p.args, "rules-plugin") })
		return !left, fmt.Sprint(s.processes())
	})
	untouched("removed")
	if out := s.must("events", "--json"); strings.Count(out, `"type":"config.reloaded"`) < 6 ||
		!strings.Contains(out, `"outcome":"refused"`) {
		t.Errorf("events = %s", out)
	}

	// The chain of doctors that a start meets is that which holds when it fails.
	s.reload(with(base, "doctors", rulesTable("zebra", "")))
	untouched("other doctors")
	s.writeFile("fail", "")
	if _, _, code := s.cli("restart", "main"); code == 0 {
		t.Error("a restart that cannot succeed did")
	}
	if got := s.awaitState("error"); got.Error == nil || got.Error.Code != "planted-word" ||
		got.Error.Message != "it said the word zebra" {
		t.Errorf("error = %+v", got.Error)
	}
	s.shutdown()
}

// TestFileWithFaultsChangesNothing: all that is wrong is told at once, and what held before goes on to hold.
func TestFileWithFaultsChangesNothing(t *testing.T) {
	s := newSite(t, emulator(""))
	s.run()
	s.awaitState("running")
	base, before := s.config(), s.life("main")

	r, code := s.reload(
		strings.Replace(base, `doctors = ["doctor"]`, "doctors = [\"absent\"]\non_conflict = \"perhaps\"", 1) +
			"[plugins.more]\npath = \"doctor\"\n[gateways.main.repair]\nmode = \"ask\"\n",
	)
	if code != 78 || len(r.Faults) != 2 || !strings.Contains(strings.Join(r.Faults, "\n"), `no plugin "absent"`) ||
		!strings.Contains(r.Faults[0], "config.toml:") {
		t.Errorf("exit %d, %+v", code, r)
	}
	for name, text := range map[string]string{
		"no TOML": base[:len(base)/2] + "\n[[", "empty, as an editor may leave it for a moment": "",
	} {
		if r, code := s.reload(text); code != 78 || len(r.Faults) == 0 {
			t.Errorf("%s: exit %d, %+v", name, code, r)
		}
	}
	s.writeConfig("")
	if _, errOut, code := s.cli("config", "reload", "--host", s.socket()); code != 78 ||
		!strings.Contains(errOut, "the file is empty") {
		t.Errorf("without --json: exit %d\n%s", code, errOut)
	}
	s.writeConfig(base)
	out := s.must("status")
	if s.life("main") != before || !strings.Contains(out, "config-refused") {
		t.Errorf("before: %s, after: %s\n%s", before, s.life("main"), out)
	}

	if r, code := s.reload(strings.ReplaceAll(base, "gateways.main", "gateways.other")); code != 1 ||
		!strings.Contains(fmt.Sprint(r.Faults), "the gateway main") || !strings.Contains(fmt.Sprint(r.Faults), "--remove") {
		t.Errorf("a gateway that is missing: exit %d, %+v", code, r)
	}
	if err := os.Remove(s.configPath()); err != nil {
		t.Fatal(err)
	}
	if _, errOut, code := s.cli("config", "reload", "--host", s.socket()); code != 78 ||
		!strings.Contains(errOut, "cannot read configuration") {
		t.Errorf("without a file: exit %d\n%s", code, errOut)
	}
	r, code = s.reload(base + "[journal]\nmax_files = 3\n[log]\nlevel = \"debug\"\n")
	if code != 0 || !slices.Equal(r.keys("host", "host-restart"), []string{"journal.max_files"}) ||
		!slices.Equal(r.keys("host", "applied"), []string{"log.level"}) {
		t.Errorf("exit %d, %+v", code, r)
	}
	out = s.must("status")
	if s.life("main") != before || strings.Contains(out, "config-refused") ||
		!strings.Contains(out, "host-restart-needed") {
		t.Errorf("before: %s, after: %s\n%s", before, s.life("main"), out)
	}
	s.must("rpc", "main", "health")
	s.eventually("the log has the new level", func() (bool, string) {
		s.must("rpc", "main", "health")
		return strings.Contains(s.stderr.String(), "[DEBUG]"), ""
	})
	s.shutdown()
}

// TestWhatConcernsAProcessIsAppliedByItsRestart: another port, another variable and another launcher wait for the next
// process; the old launcher stays as long as what it launched, and no longer.
func TestWhatConcernsAProcessIsAppliedByItsRestart(t *testing.T) {
	s := newSite(t, emulator(""))
	s.run()
	before := s.awaitState("running")
	alive := s.life("main")
	base, old := s.config(), s.port
	s.port = testhost.FreePort(t)
	s.gw.env["ANOTHER"] = "variable"
	text := strings.NewReplacer("[plugins.utility]", "[plugins.second]", `launcher = "utility"`,
		`launcher = "second"`).Replace(s.config())
	r, code := s.reload(text)
	if code != 0 || !slices.Equal(r.keys("gateway", "next-restart"), []string{
		"gateways.main.launch.env.ANOTHER", "gateways.main.launcher", "gateways.main.port",
	}) || r.of("plugin", "second", "added").Result != "applied" ||
		r.of("plugin", "utility", "removed").Result != "next-restart" {
		t.Errorf("exit %d, %+v", code, r)
	}
	got := s.await("drift", func(g gatewayStatus) bool { return len(g.Drift) > 0 })
	if s.life("main") != alive || got.Port != old ||
		!slices.Equal(got.Drift, []string{"command", "env", "launcher", "port"}) {
		t.Errorf("after the reload: %+v", got)
	}
	s.must("rpc", "main", "health")

	// Back, and it is as if nothing had been.
	if r, code := s.reload(base); code != 0 || len(s.awaitState("running").Drift) != 0 ||
		pluginOf(t, s, "utility").State != "running" {
		t.Errorf("back: exit %d, %+v", code, r)
	}
	s.reload(text)
	if s.life("main") != alive {
		t.Errorf("the gateway was %s, is %s", alive, s.life("main"))
	}
	s.must("restart", "main")
	after := s.awaitState("running")
	if after.PID == before.PID || after.Port != s.port || len(after.Drift) != 0 {
		t.Errorf("after the restart: %+v", after)
	}
	s.eventually("the old launcher is gone", func() (bool, string) {
		p := pluginOf(t, s, "utility")
		return p.PID == 0 && pluginOf(t, s, "second").State == "running", fmt.Sprint(p)
	})
	s.must("stop", "main")
	s.shutdown()
}

// TestGatewaysComeAndGoWithTheConfiguration: one that came is started, one that is missing is stopped only when that is
// said.
func TestGatewaysComeAndGoWithTheConfiguration(t *testing.T) {
	s := newSite(t, emulator(""))
	s.run()
	s.awaitState("running")
	base, before := s.config(), s.life("main")
	command, _ := json.Marshal(s.gw.command)
	two := base + fmt.Sprintf(`[gateways.second]
port = %d
token = {env = "GH_TEST_TOKEN"}
[gateways.second.launch]
command = %s
state_dir = %q
env = {EMULATOR_TIME_SCALE = "0.05"}
`, testhost.FreePort(t), command, filepath.Join(s.dir, "oc2"))
	if r, code := s.reload(two); code != 0 || r.of("gateway", "second", "added").Result != "applied" {
		t.Errorf("exit %d, %+v", code, r)
	}
	var second gatewayStatus
	s.eventually("the second gateway runs", func() (bool, string) {
		out, _, _ := s.cli("status", "--json")
		var st status
		_ = json.Unmarshal([]byte(out), &st)
		for _, g := range st.Gateways {
			if g.Name == "second" {
				second = g
			}
		}
		return len(st.Gateways) == 2 && second.State == "running", out
	})
	s.must("rpc", "second", "health")
	if _, code := s.reload(base); code != 1 || testhost.Signal(second.PID, 0) != nil {
		t.Errorf("exit %d, and the gateway is gone", code)
	}
	r, code := s.reload(base, "--remove")
	if code != 0 || r.of("gateway", "second", "removed").Result != "applied" || testhost.Signal(second.PID, 0) == nil {
		t.Errorf("exit %d, %+v, or the gateway lives", code, r)
	}
	if _, _, code := s.cli("start", "second"); code != 4 {
		t.Errorf("a gateway that was removed is started: exit %d", code)
	}
	if s.life("main") != before {
		t.Errorf("before: %s, after: %s", before, s.life("main"))
	}
	s.must("stop", "main")
	s.shutdown()
}

// TestFirstClassifierInTheListDecides: two real classifiers and one that hangs; the first that claims a line decides
// it, the other is recorded, and the start waits for none of them longer than a deadline.
func TestFirstClassifierInTheListDecides(t *testing.T) {
	s := newSite(t, emulator(""))
	text := strings.Replace(s.config(), `classifiers = ["doctor"]`, `classifiers = ["bad", "rules", "doctor"]`, 1)
	s.writeConfig(text + rulesTable("[", "") + fmt.Sprintf("[plugins.bad]\npath = %q\nargs = [\"hang\"]\n",
		filepath.Join(bin, "bad-plugin")))
	s.run()
	s.awaitState("running")
	type line struct {
		Text   string `json:"text"`
		Plugin string `json:"plugin"`
		RuleID string `json:"ruleId"`
		Also   []struct {
			Plugin string `json:"plugin"`
			RuleID string `json:"ruleId"`
		} `json:"also"`
	}
	lines := func() (all []line) {
		for text := range strings.Lines(s.must("logs", "main", "--json", "-n", "0")) {
			var l line
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				t.Fatal(err)
			}
			all = append(all, l)
		}
		return all
	}
	s.eventually("a line that both claim", func() (bool, string) {
		all := lines()
		return slices.ContainsFunc(all, func(l line) bool {
			return l.Plugin == "rules" && l.RuleID == "[" && len(l.Also) == 1 && l.Also[0].Plugin == "doctor" &&
				l.Also[0].RuleID != ""
		}), fmt.Sprintf("%+v", all)
	})
	without := strings.Replace(text, `["bad", "rules", "doctor"]`, `["doctor", "rules"]`, 1) + rulesTable("[", "")
	if r, code := s.reload(without); code != 0 || r.of("plugin", "bad", "removed").Result != "applied" {
		t.Errorf("exit %d, %+v", code, r)
	}
	s.must("restart", "main") // it says all that again
	s.eventually("a line that the other one decides", func() (bool, string) {
		all := lines()
		return slices.ContainsFunc(all, func(l line) bool {
			return l.Plugin == "doctor" && len(l.Also) == 1 && l.Also[0].Plugin == "rules"
		}), fmt.Sprintf("%+v", all)
	})
	s.must("stop", "main")
	s.shutdown()
}

// TestReloadsAtTheSameTimeComeToOneEnd: each waits for its turn, and what holds afterwards is the file.
func TestReloadsAtTheSameTimeComeToOneEnd(t *testing.T) {
	s := newSite(t, emulator(""))
	s.run()
	s.awaitState("running")
	before := s.life("main")
	s.writeConfig(with(s.config(), "classifiers", rulesTable("x", "")))
	socket := s.socket()
	type answer struct {
		out  string
		code int
	}
	answers := make(chan answer, 4)
	for range cap(answers) {
		go func() {
			out, errOut, code := s.cli("config", "reload", "--json", "--host", socket)
			answers <- answer{out + errOut, code}
		}()
	}
	applied := 0
	for range cap(answers) {
		a := <-answers
		if a.code != 0 {
			t.Errorf("exit %d: %s", a.code, a.out)
		}
		if strings.Contains(a.out, `"outcome": "applied"`) {
			applied++
		}
	}
	if p := pluginOf(t, s, "rules"); applied != 1 || p.State != "running" || p.Restarts != 0 || s.life("main") != before {
		t.Errorf("%d reloads applied the file; plugin %+v, gateway %s, before %s", applied, p, s.life("main"), before)
	}
	// Pins are checked by starting anew what is pinned, the launcher of what runs included.
	was := pluginOf(t, s, "utility")
	s.must("plugin", "pin", "--all")
	out := s.must("config", "reload")
	if now := pluginOf(t, s, "utility"); strings.Count(out, "replaced") != 3 || now.PID == was.PID ||
		now.State != "running" || s.life("main") != before {
		t.Errorf("pinned: %s\n%+v, before %+v; gateway %s, before %s", out, now, was, s.life("main"), before)
	}
	s.must("rpc", "main", "health")
	s.must("stop", "main")
	s.shutdown()
}
