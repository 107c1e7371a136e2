package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehost/gatehost/internal/testhost"
)

// inConfig is a secret that only the gateway's own configuration holds. The host keeps copies of the file; nothing else
// may have it.
const inConfig = "canary-in-the-file-5d2c7b91"

// goodConfig is one with which a gateway runs; n tells versions apart.
func goodConfig(n int) string {
	return fmt.Sprintf("{\n  // by hand\n  \"gateway\": {\"mode\": \"local\"},\n"+
		"  \"env\": {\"vars\": {\"PROVIDER_API_KEY\": %q}},\n  \"logging\": {\"maxFileBytes\": %d},\n}\n",
		inConfig, 1000000+n)
}

func (s *site) oc() string { return filepath.Join(s.dir, "oc", "openclaw.json") }

func (s *site) breakConfig(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.oc(), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) ocIs(want string) {
	s.t.Helper()
	got, err := os.ReadFile(s.oc())
	if err != nil || string(got) != want {
		s.t.Errorf("openclaw.json is %q, %v; want %q", got, err, want)
	}
}

// repairConfig is the site's configuration with a gateway that needs one of its own, and how it is repaired.
func (s *site) repairConfig(mode, restore string) string {
	text := strings.Replace(s.config(), "grace = \"20s\"\n",
		"grace = \"20s\"\nargs = [\"gateway\", \"--port\", \"{port}\", \"--bind\", \"loopback\"]\n", 1)
	return text + fmt.Sprintf("[gateways.main.repair]\nmode = %q\nrestore = %q\n", mode, restore)
}

// told is what `gatehost doctor --json` said.
type told struct {
	Type    string `json:"type"`
	Finding *struct {
		Plugin     string `json:"plugin"`
		Code       string `json:"code"`
		Hint       string `json:"hint"`
		ConfigPath string `json:"configPath"`
		Repairable bool   `json:"repairable"`
	} `json:"finding"`
	Skipped *struct {
		Plugin string `json:"plugin"`
		Error  *struct {
			Message string `json:"message"`
			Hint    string `json:"hint"`
		} `json:"error"`
	} `json:"skipped"`
	Plan *struct {
		Plugin string `json:"plugin"`
		Diff   string `json:"diff"`
	} `json:"plan"`
	Record *struct {
		ID       string   `json:"id"`
		Doctor   string   `json:"doctor"`
		Finding  string   `json:"finding"`
		Outcome  string   `json:"outcome"`
		UndoneBy string   `json:"undoneBy"`
		Aside    []string `json:"aside"`
		Undoable bool     `json:"undoable"`
	} `json:"record"`
	Kept *struct {
		ID      string `json:"id"`
		Bytes   int    `json:"bytes"`
		Present bool   `json:"present"`
	} `json:"kept"`
	Result *struct {
		Outcome string `json:"outcome"`
		Doctor  string `json:"doctor"`
		Diff    string `json:"diff"`
		Backup  string `json:"backup"`
		Error   *struct {
			Message string `json:"message"`
			Hint    string `json:"hint"`
		} `json:"error"`
	} `json:"result"`
}

// doctor runs the verb and checks that it shows no secret.
func (s *site) doctor(args ...string) (all []told, code int) {
	s.t.Helper()
	out, errOut, code := s.cli(append([]string{"doctor", "main", "--json"}, args...)...)
	if strings.Contains(out+errOut, inConfig) || strings.Contains(out+errOut, canary) {
		s.t.Errorf("doctor %v shows a secret:\n%s%s", args, out, errOut)
	}
	for line := range strings.Lines(out) {
		var m told
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			s.t.Fatalf("doctor %v: %v\n%s", args, err, line)
		}
		all = append(all, m)
	}
	if len(all) == 0 {
		all = append(all, told{Type: errOut})
	}
	return all, code
}

// kept is how many configurations are kept.
func (s *site) kept() int {
	s.t.Helper()
	all, _ := s.doctor("--history")
	n := 0
	for _, m := range all {
		if m.Kept != nil {
			n++
		}
	}
	return n
}

func (s *site) awaitKept(n int) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%d configurations are kept", n), func() (bool, string) {
		got := s.kept()
		return got == n, fmt.Sprint(got)
	})
}

// asides are the files that were kept beside the configuration.
func (s *site) asides() []string {
	s.t.Helper()
	real, err := filepath.EvalSymlinks(s.oc())
	if errors.Is(err, fs.ErrNotExist) { // it is gone: where it would be
		real, err = s.oc(), nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	found, err := filepath.Glob(real + ".broken-*")
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

// checkNoConfigSecret searches all that the host wrote, except for its copies of the file, and its terminal.
func (s *site) checkNoConfigSecret() {
	s.t.Helper()
	for _, sub := range []string{"state", "run"} {
		walk(s.t, filepath.Join(s.dir, sub), func(path string, data []byte) {
			info, err := os.Stat(path)
			if !bytes.Contains(data, []byte(inConfig)) || err != nil {
				return
			}
			copied := strings.Contains(path, "/last-good/") || strings.Contains(path, "/repairs/")
			if !copied || info.Mode().Perm() != 0o600 {
				s.t.Errorf("the configuration's secret is in %s, mode %04o", path, info.Mode().Perm())
			}
		})
	}
	if strings.Contains(s.stderr.String(), inConfig) {
		s.t.Error("the configuration's secret is on the host's terminal")
	}
}

type breakage struct {
	name, text string
	missing    bool
	byDoctor   bool // OpenClaw's own doctor repairs it
}

func breakages() []breakage {
	return []breakage{
		{
			name: "not parsable", text: `{"gateway": {"mode": "local"}, "env": {"vars": {"PROVIDER_API_KEY": "` + inConfig + `"`,
		},
		{
			name: "wrong type",
			text: `{"gateway": {"mode": "local", "port": "x"}, "env": {"vars": {"PROVIDER_API_KEY": "` + inConfig + `"}}}`,
		},
		{name: "bad enum", text: `{"gateway": {"mode": "local", "bind": "everywhere"}}`},
		{name: "empty file", text: ""},
		{name: "file missing", missing: true},
		{name: "unknown key beside a wrong type", text: `{"nonsense": 1, "gateway": {"mode": "local", "port": "x"}}`},
		{name: "unknown key", text: `{"gateway": {"mode": "local", "bogus": true}, "nonsense": {}}`, byDoctor: true},
	}
}

// itRunsAgainFromAnyBreakage: whatever is done to the configuration, the gateway reaches running again by itself, and
// what was there before is not lost.
func itRunsAgainFromAnyBreakage(t *testing.T, gw gateway) {
	t.Helper()
	s := newSite(t, gw)
	s.breakConfig(goodConfig(0))
	s.writeConfig(s.repairConfig("auto", "last-good"))
	s.run()
	before := s.awaitState("running")
	s.awaitKept(1)
	for _, b := range breakages() {
		if b.missing {
			if err := os.Remove(s.oc()); err != nil {
				t.Fatal(err)
			}
		} else {
			s.breakConfig(b.text)
		}
		beside := s.asides()
		s.must("restart", "main", "--reason", b.name)
		now := s.awaitState("running")
		if now.PID == before.PID {
			t.Errorf("%s: the process was not replaced", b.name)
		}
		before = now
		if b.byDoctor {
			if got, err := os.ReadFile(s.oc()); err != nil || strings.Contains(string(got), "bogus") ||
				strings.Contains(string(got), "nonsense") {
				t.Errorf("%s: openclaw.json is %s, %v", b.name, got, err)
			}
		} else {
			s.ocIs(goodConfig(0))
		}
		added := slices.DeleteFunc(s.asides(), func(p string) bool { return slices.Contains(beside, p) })
		if b.missing || b.byDoctor {
			if len(added) != 0 {
				t.Errorf("%s: kept beside: %v", b.name, added)
			}
			continue
		}
		if len(added) != 1 {
			t.Errorf("%s: kept beside: %v", b.name, added)
			continue
		}
		data, err := os.ReadFile(added[0])
		if info, statErr := os.Stat(added[0]); err != nil || string(data) != b.text || statErr != nil ||
			info.Mode().Perm() != 0o600 {
			t.Errorf("%s: kept beside: %q, %v, %v", b.name, data, info, err)
		}
	}
	s.awaitKept(2) // the one by hand, and what OpenClaw's doctor made of the last
	repaired := "repaired: let OpenClaw's own doctor repair the configuration, by doctor"
	if out := s.must("explain", "main"); !strings.Contains(out, repaired) {
		t.Errorf("explain: %s", out)
	}
	s.checkNoConfigSecret()
	s.must("stop", "main")
	s.shutdown()
	s.checkNoConfigSecret()
}

func TestEmulatorRunsAgainFromAnyBreakage(t *testing.T) { itRunsAgainFromAnyBreakage(t, emulator("")) }

// TestDoctorThatEndsWellAndRepairsNothingIsTakenBack: exit 0 of the vendor's doctor does not mean that the gateway will
// take the file. The file is where launch.config_path says.
func TestDoctorThatEndsWellAndRepairsNothingIsTakenBack(t *testing.T) {
	s := newSite(t, emulator("useless-doctor"))
	elsewhere := filepath.Join(s.dir, "elsewhere", "gateway.json")
	if err := errors.Join(os.Mkdir(filepath.Dir(elsewhere), 0o700), os.Symlink(elsewhere, s.oc())); err != nil {
		t.Fatal(err)
	}
	s.breakConfig(goodConfig(0))
	s.writeConfig(strings.Replace(s.repairConfig("auto", "last-good"), "grace = ",
		fmt.Sprintf("config_path = %q\ngrace = ", elsewhere), 1))
	s.run()
	s.awaitState("running")
	s.awaitKept(1)
	broken := breakages()[6].text
	s.breakConfig(broken)
	s.must("restart", "main")
	s.awaitState("running")
	s.ocIs(goodConfig(0))
	if found := s.asides(); len(found) != 1 {
		t.Errorf("kept beside: %v", found)
	} else if data, err := os.ReadFile(found[0]); err != nil || string(data) != broken {
		// what the user wrote, not what the doctor made of it
		t.Errorf("kept beside: %q, %v", data, err)
	}
	all, _ := s.doctor("--history")
	if len(all) < 2 || all[0].Record == nil || all[1].Record == nil || all[0].Record.Doctor != "gatehost" ||
		all[1].Record.Doctor != "doctor" || all[1].Record.Outcome != "failed" {
		t.Errorf("history = %+v", all)
	}
	s.must("stop", "main")
	s.shutdown()
}

// TestWithoutPermissionTheLastConfigurationIsOfferedOnly walks the way that an operator has.
func TestWithoutPermissionTheLastConfigurationIsOfferedOnly(t *testing.T) {
	s := newSite(t, emulator(""))
	s.breakConfig(goodConfig(0))
	s.writeConfig(s.repairConfig("auto", "none"))
	s.run()
	s.awaitState("running")
	s.awaitKept(1)
	if _, errOut, code := s.cli("doctor", "main", "--undo", "--stop"); code != 1 ||
		!strings.Contains(errOut, "no repair to undo") {
		t.Errorf("an undo of nothing: exit %d, %s", code, errOut)
	}
	broken := breakages()[1].text
	s.breakConfig(broken)
	_, _, code := s.cli("restart", "main", "--force")
	got := s.awaitState("error")
	offer := "gatehost doctor main --repair --restore last-good"
	if code != 1 || got.Error == nil || got.Error.Code != "config-invalid" ||
		!strings.Contains(got.Error.Message, "gateway.port") || !strings.Contains(got.Error.Hint, offer) {
		t.Errorf("exit %d, error = %+v", code, got.Error)
	}
	all, code := s.doctor()
	if f := all[0].Finding; code != 1 || f == nil || f.ConfigPath != "gateway.port" || !strings.Contains(f.Hint, offer) ||
		f.Repairable {
		t.Errorf("finding = %+v", f)
	}
	all, code = s.doctor("--repair")
	plan, last := all[len(all)-2].Plan, all[len(all)-1].Result
	removed := `-{"gateway": {"mode": "local", "port": "x"}, "env": {"vars": {"PROVIDER_API_KEY": "[redacted]"}}}`
	if code != 1 || plan == nil || plan.Plugin != "gatehost" || !strings.Contains(plan.Diff, removed) ||
		last.Outcome != "offered" || last.Error == nil {
		t.Errorf("exit %d, plan %+v, result %+v", code, plan, last)
	}
	all, code = s.doctor("--repair", "--restore", "last-good", "--dry-run")
	if last := all[len(all)-1].Result; code != 0 || last.Outcome != "planned" ||
		!strings.Contains(last.Diff, "[redacted]") || !strings.Contains(last.Diff, "+  // by hand") {
		t.Errorf("exit %d, result %+v", code, last)
	}
	s.ocIs(broken)
	if len(s.asides()) != 0 {
		t.Errorf("a dry run left %v", s.asides())
	}
	all, code = s.doctor("--repair", "--restore", "last-good")
	last = all[len(all)-1].Result
	if code != 0 || last.Outcome != "repaired" || last.Doctor != "gatehost" || last.Backup == "" {
		t.Errorf("exit %d, result %+v", code, last)
	}
	s.ocIs(goodConfig(0))
	s.must("start", "main")
	s.awaitState("running")
	restored := "bring back the configuration with which the gateway ran"
	if out := s.must("explain", "main"); !strings.Contains(out, restored) || !strings.Contains(out, "by gatehost") {
		t.Errorf("explain does not tell what was brought back:\n%s", out)
	}
	if all, code = s.doctor("--repair", "--restore", "last-good"); code == 0 { // nothing is broken
		t.Errorf("a sound configuration was replaced: %+v", all[len(all)-1])
	}
	s.ocIs(goodConfig(0))
	s.breakConfig(breakages()[5].text) // the vendor's doctor is tried, and cannot
	_, _, _ = s.cli("restart", "main", "--force")
	got = s.awaitState("error")
	if got.Error == nil || !strings.Contains(got.Error.Message, "the repair failed") ||
		!strings.Contains(got.Error.Hint, offer) {
		t.Errorf("error = %+v", got.Error)
	}
	s.ocIs(breakages()[5].text)
	all, code = s.doctor("--repair")
	if last := all[len(all)-1].Result; code != 1 || last.Outcome != "failed" || last.Doctor != "doctor" ||
		!strings.Contains(last.Error.Hint, offer) {
		t.Errorf("exit %d, result %+v", code, last)
	}
	s.ocIs(breakages()[5].text)
	s.checkNoConfigSecret()
	s.shutdown()
}

// TestAnyEarlierStateOfTheConfigurationComesBack makes three repairs and takes them back, in order and by name.
func TestAnyEarlierStateOfTheConfigurationComesBack(t *testing.T) {
	s := newSite(t, emulator(""))
	s.breakConfig(goodConfig(0))
	s.writeConfig(s.repairConfig("auto", "last-good"))
	s.run()
	s.awaitState("running")
	s.awaitKept(1)
	var broken []string
	for _, b := range breakages()[:3] {
		s.breakConfig(b.text)
		s.must("restart", "main")
		s.awaitState("running")
		broken = append(broken, b.text)
	}
	if _, code := s.doctor("--undo"); code != 1 { // it runs
		t.Errorf("an undo under a running gateway: exit %d", code)
	}
	s.must("stop", "main")
	var ids []string // newest first
	all, _ := s.doctor("--history")
	for _, m := range all {
		if r := m.Record; r != nil {
			if r.Doctor != "gatehost" || r.Finding != "config-invalid" || r.Outcome != "done" || len(r.Aside) != 1 ||
				!r.Undoable {
				t.Errorf("record %+v", r)
			}
			ids = append(ids, r.ID)
		}
	}
	if len(ids) != 3 || all[len(all)-1].Result == nil {
		t.Fatalf("history = %+v", all)
	}
	all, code := s.doctor("--undo", "--dry-run")
	if last := all[len(all)-1].Result; code != 0 || last == nil || last.Outcome != "planned" ||
		!strings.Contains(last.Diff, "[redacted]") {
		t.Errorf("exit %d, %+v", code, last)
	}
	s.ocIs(goodConfig(0))
	s.must("doctor", "main", "--undo")
	s.ocIs(broken[2])
	s.breakConfig("by hand")
	if out, errOut, code := s.cli("doctor", "main", "--undo"); code != 1 || !strings.Contains(errOut, "--undo "+ids[1]) {
		t.Errorf("after a change by hand: exit %d\n%s%s", code, out, errOut)
	}
	s.ocIs("by hand")
	s.must("doctor", "main", "--undo", ids[1]) // named, it is done
	s.ocIs(broken[1])
	all, _ = s.doctor("--history")
	overHand := all[0].Record.ID
	s.must("doctor", "main", "--undo", ids[2]) // the oldest
	s.ocIs(broken[0])
	s.must("doctor", "main", "--undo", ids[0]) // again, though it was taken back before
	s.ocIs(broken[2])
	s.must("doctor", "main", "--undo", overHand)
	s.ocIs("by hand")
	if _, _, code := s.cli("doctor", "main", "--undo", "20000101T000000.000Z-00000000"); code == 0 {
		t.Error("what never was has been undone")
	}
	s.checkNoConfigSecret()
	s.shutdown()
}

// TestNothingIsChangedWithoutConsent: repair.mode ask and off.
func TestNothingIsChangedWithoutConsent(t *testing.T) {
	for _, mode := range []string{"ask", "off"} {
		t.Run(mode, func(t *testing.T) {
			s := newSite(t, emulator(""))
			s.breakConfig(goodConfig(0))
			s.writeConfig(s.repairConfig(mode, "last-good"))
			s.run()
			s.awaitState("running")
			s.awaitKept(1)
			for _, b := range breakages()[5:] { // one that the host would bring back, one that the doctor would repair
				s.breakConfig(b.text)
				_, _, _ = s.cli("restart", "main", "--force")
				got := s.awaitState("error")
				if got.Error == nil || !strings.Contains(got.Error.Hint, "--repair") {
					t.Errorf("%s: error = %+v", b.name, got.Error)
				}
				s.ocIs(b.text)
				if all, _ := s.doctor("--history"); all[0].Record != nil {
					t.Errorf("%s: something was done: %+v", b.name, all[0].Record)
				}
			}
			s.must("doctor", "main", "--repair") // that is the consent
			s.must("start", "main")
			s.awaitState("running")
			s.must("stop", "main")
			s.shutdown()
		})
	}
}

// TestFirstDoctorThatFailsOrKnowsNoWayDoesNotHideTheSecond: the chain, in order of the configuration.
func TestFirstDoctorThatFailsOrKnowsNoWayDoesNotHideTheSecond(t *testing.T) {
	for _, how := range []string{"crash", "no-plan"} {
		t.Run(how, func(t *testing.T) {
			s := newSite(t, emulator(""))
			text := withBad(s, how)
			text = strings.Replace(text, `doctors = ["doctor"]`, `doctors = ["bad", "doctor"]`, 1)
			s.writeConfig(text)
			s.breakConfig(breakages()[6].text)
			s.run()
			s.awaitState("running")
			events := s.must("events", "main", "--json", "--since", "10m")
			if how == "no-plan" && (!strings.Contains(events, `"plugin":"bad","code":"odd-weather"`) ||
				!strings.Contains(events, `"plugin":"doctor","code":"config-invalid"`)) {
				t.Errorf("not all findings are recorded:\n%s", events)
			}
			if !strings.Contains(events, `"outcome":"repaired","doctor":"doctor"`) {
				t.Errorf("the second doctor's plan was not executed:\n%s", events)
			}
			s.must("stop", "main")
			s.shutdown()
		})
	}
}

// TestOnlyWhatTheGatewayReadIsKept: a file that changed between the launch and running is not what it runs with; what
// it takes while it runs is.
func TestOnlyWhatTheGatewayReadIsKept(t *testing.T) {
	s := newSite(t, emulator("slow-listen=8000"))
	s.breakConfig(goodConfig(0))
	s.writeConfig(s.repairConfig("auto", "none"))
	s.run()
	s.eventually("it has read its configuration", func() (bool, string) {
		out, _, _ := s.cli("logs", "main", "--raw", "-n", "0")
		return strings.Contains(out, "shutdown budget at startup"), out
	})
	// it reads 25 ms after that line, and opens its port 8 s later: in between nothing can be seen from outside
	time.Sleep(time.Second)
	s.breakConfig(`{"gateway": {"mode": "local", "port": "x"}}`)
	s.awaitState("running")
	s.must("rpc", "main", "config.get") // the host's own question for the file to keep was before this one
	if n := s.kept(); n != 0 {
		t.Errorf("%d configurations are kept", n)
	}
	s.breakConfig(goodConfig(1)) // taken while it runs
	s.awaitKept(1)
	s.breakConfig(goodConfig(2))
	s.awaitKept(2)
	s.breakConfig("{") // not taken
	s.must("rpc", "main", "health")
	if all, code := s.doctor("--repair", "--restore", "last-good"); code != 0 { // no need to stop it for that
		t.Errorf("result %+v", all[len(all)-1])
	}
	s.ocIs(goodConfig(2))
	if got := s.awaitState("running"); got.Restarts != 0 {
		t.Errorf("it was restarted: %+v", got)
	}
	s.must("stop", "main")
	s.shutdown()
}

// TestMissingFileIsNoFaultOfAGatewayThatNeedsNone: it starts without; the host says so and waits for a word.
func TestMissingFileIsNoFaultOfAGatewayThatNeedsNone(t *testing.T) {
	s := newSite(t, emulator(""))
	s.breakConfig(goodConfig(0))
	s.extra = "[gateways.main.repair]\nrestore = \"last-good\"\n"
	s.run()
	s.awaitState("running")
	s.awaitKept(1)
	if err := os.Remove(s.oc()); err != nil {
		t.Fatal(err)
	}
	s.must("restart", "main")
	s.awaitState("running")
	if _, err := os.Stat(s.oc()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was brought back unasked: %v", err)
	}
	all, _ := s.doctor()
	if f := all[0].Finding; f == nil || f.Code != "config-missing" || f.Plugin != "gatehost" ||
		!strings.Contains(f.Hint, "--restore last-good") {
		t.Errorf("finding = %+v", f)
	}
	s.must("doctor", "main", "--repair", "--restore", "last-good")
	s.ocIs(goodConfig(0))
	s.must("stop", "main")
	s.shutdown()
}

// TestRepairThatIsCutOffLeavesAReadableFile: by a stop, by the death of the host at any moment of it, by the death of
// the doctor.
func TestRepairThatIsCutOffLeavesAReadableFile(t *testing.T) {
	s := newSite(t, emulator("slow-doctor=1500"))
	s.breakConfig(goodConfig(0))
	s.writeConfig(s.repairConfig("auto", "last-good"))
	s.run()
	s.awaitState("running")
	s.awaitKept(1)
	broken := breakages()[5].text // the vendor's doctor tries it and fails, then the last configuration is brought back
	whole := func(moment string) {
		t.Helper()
		data, err := os.ReadFile(s.oc())
		if err != nil || string(data) != broken && string(data) != goodConfig(0) {
			t.Errorf("%s: openclaw.json is %q, %v", moment, data, err)
		}
	}
	repairing := func() {
		t.Helper()
		s.breakConfig(broken)
		s.must("restart", "main", "--no-wait")
		s.eventually("the vendor's doctor runs", func() (bool, string) {
			return slices.ContainsFunc(s.processes(), func(p process) bool { return strings.Contains(p.args, "doctor --fix") }),
				fmt.Sprint(s.processes())
		})
	}
	repairing()
	s.must("stop", "main")
	s.awaitState("stopped")
	s.ocIs(broken)

	for _, after := range []time.Duration{0, 1300 * time.Millisecond, 1700 * time.Millisecond, 2100 * time.Millisecond} {
		s.must("start", "main")
		repairing()
		time.Sleep(after) // the moment of the kill is what is tried out
		if err := s.host.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-s.exited
		whole(fmt.Sprintf("host killed %v into the repair", after))
		s.startHost()
		s.awaitState("running")
		s.ocIs(goodConfig(0))
	}

	repairing()
	for _, p := range s.processes() {
		if strings.Contains(p.args, filepath.Join("plugins", "doctor")) || strings.Contains(p.args, "doctor --fix") {
			_ = testhost.Signal(p.pid, syscall.SIGKILL)
		}
	}
	s.awaitState("running")
	s.ocIs(goodConfig(0))
	for _, p := range s.asides() {
		if data, err := os.ReadFile(p); err != nil || string(data) != broken {
			t.Errorf("%s is %q, %v", p, data, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, "oc", ".gatehost-*")); len(left) != 0 {
		t.Errorf("unfinished files are left: %v", left)
	}
	s.must("stop", "main")
	s.checkNoConfigSecret()
	s.shutdown()
}
