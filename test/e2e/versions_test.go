package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ofAnotherTime adds a plugin of another release to a configuration, see testdata/doctor-versions.
func ofAnotherTime(name string, announced ...string) string {
	args, _ := json.Marshal(announced)
	return fmt.Sprintf("[plugins.%s]\npath = %q\nargs = %s\n", name, filepath.Join(bin, "doctor-versions"), args)
}

// negotiated is what `plugin info --json` says.
type negotiated struct {
	State      string   `json:"state"`
	Services   []string `json:"services"`
	Negotiated []struct {
		Service string `json:"service"`
		Version int    `json:"version"`
		Error   *struct {
			Message string `json:"message"`
			Hint    string `json:"hint"`
		} `json:"error"`
	} `json:"negotiated"`
	Error *struct {
		Message string `json:"message"`
		Hint    string `json:"hint"`
	} `json:"error"`
}

func (s *site) negotiated(name string) negotiated {
	s.t.Helper()
	var out negotiated
	if err := json.Unmarshal([]byte(s.must("plugin", "info", name, "--json")), &out); err != nil {
		s.t.Fatal(err)
	}
	return out
}

// TestDoctorsOfOtherReleasesServeOneGateway: one without Verify and one with it in one chain, before them one that this
// host cannot ask, whose classifier works all the same, and one of which nothing is left.
func TestDoctorsOfOtherReleasesServeOneGateway(t *testing.T) {
	s := newSite(t, emulator(""))
	text := s.repairConfig("ask", "none")
	text = strings.Replace(text, `doctors = ["doctor"]`, `doctors = ["future", "alien", "old", "new"]`, 1)
	text = strings.Replace(text, `classifiers = ["doctor"]`, `classifiers = ["future"]`, 1)
	s.writeConfig(text + ofAnotherTime("old", "doctor=1-1") + ofAnotherTime("new", "doctor=1-1,verify") +
		ofAnotherTime("future", "doctor=2-3", "classifier=1-1") + ofAnotherTime("alien", "doctor=2-3"))
	broken := breakages()[2].text
	s.breakConfig(broken)
	s.run()
	got := s.awaitState("error")
	if got.Error == nil || got.Error.Code != "config-invalid" ||
		!strings.Contains(got.Error.Message, "the file is refused") {
		t.Errorf("error = %+v", got.Error)
	}

	for _, name := range []string{"old", "new"} {
		p := s.negotiated(name)
		if p.State != "running" || len(p.Negotiated) != 1 || p.Negotiated[0].Version != 1 {
			t.Errorf("%s: %+v", name, p)
		}
	}
	const words = "doctor-versions 7.0.0 speaks the doctor service in versions 2 to 3, this host (gatehost "
	future := s.negotiated("future")
	if future.State != "running" || len(future.Services) != 1 || future.Services[0] != "classifier" ||
		len(future.Negotiated) != 2 {
		t.Errorf("future: %+v", future)
	} else if e := future.Negotiated[0].Error; e == nil || !strings.HasPrefix(e.Message, words) ||
		!strings.HasSuffix(e.Message, ") speaks 1") || !strings.HasPrefix(e.Hint, "upgrade gatehost") {
		t.Errorf("future: %+v", e)
	}
	alien := s.negotiated("alien")
	if alien.State != "failed" || alien.Error == nil || !strings.Contains(alien.Error.Message, words) ||
		!strings.HasPrefix(alien.Error.Hint, "upgrade gatehost") {
		t.Errorf("alien: %+v, %+v", alien, alien.Error)
	}
	if out := s.must("status"); !strings.Contains(out, "plugin future: cannot serve as doctor: "+words) ||
		!strings.Contains(out, "plugin alien: failed: ") {
		t.Errorf("status does not say it:\n%s", out)
	}
	for name, want := range map[string]string{
		"old": "doctor/1", "new": "doctor/1", "future": "doctor/unusable,classifier/1",
	} {
		if out := s.must("plugin", "list"); !strings.Contains(out, "  "+want+" ") {
			t.Errorf("plugin list does not say %s of %s:\n%s", want, name, out)
		}
	}
	events := s.must("events", "main", "--json", "--since", "10m")
	for _, want := range []string{`"plugin":"old","code":"odd-weather"`, `"plugin":"new","code":"config-invalid"`} {
		if !strings.Contains(events, want) {
			t.Errorf("not all findings are recorded: %s\n%s", want, events)
		}
	}
	all, _ := s.doctor()
	skipped := map[string]string{}
	for _, m := range all {
		if m.Skipped != nil && m.Skipped.Error != nil {
			skipped[m.Skipped.Plugin] = m.Skipped.Error.Message + "; " + m.Skipped.Error.Hint
		}
	}
	for _, name := range []string{"future", "alien"} {
		if text := skipped[name]; len(skipped) != 2 || !strings.Contains(text, words) ||
			!strings.Contains(text, "; upgrade gatehost") {
			t.Errorf("gatehost doctor skips %v", skipped)
		}
	}

	s.thePlanIsJudged(broken)
	s.must("start", "main")
	s.awaitState("running")
	s.eventually("its classifier has been asked", func() (bool, string) {
		out := s.must("logs", "main", "--json", "-n", "0")
		return strings.Contains(out, `"ruleId":"of-another-time"`), out
	})
	s.must("stop", "main")
	s.shutdown()
}

// TestNoAnswerIsNotCalledHealthy: of a gateway whose only doctor is of another release nothing is known.
func TestNoAnswerIsNotCalledHealthy(t *testing.T) {
	s := newSite(t, emulator(""))
	s.writeConfig(strings.Replace(s.config(), `doctors = ["doctor"]`, `doctors = ["future"]`, 1) + ofAnotherTime("future",
		"doctor=2-3", "classifier=1-1"))
	s.run()
	s.awaitState("running") // what is not asked for costs nothing
	for _, args := range [][]string{nil, {"--repair"}} {
		all, code := s.doctor(args...)
		last := all[len(all)-1].Result
		if code != 1 || last == nil || last.Outcome != "unanswered" || last.Error == nil ||
			!strings.Contains(last.Error.Message, "speaks the doctor service in versions 2 to 3") ||
			!strings.HasPrefix(last.Error.Hint, "upgrade gatehost") {
			t.Errorf("doctor %v: exit %d, %+v", args, code, all)
		}
	}
	s.must("stop", "main")
	s.shutdown()
}

// thePlanIsJudged has the plan of the doctor with Verify executed, with each thing that its doctor may say of it.
func (s *site) thePlanIsJudged(broken string) {
	s.t.Helper()
	const repaired = "{\n  \"gateway\": {\"mode\": \"local\"},\n}\n"
	for _, row := range []struct{ says, outcome, told, file string }{
		{"not helped", "failed", "still broken after it: the doctor says not helped", broken},
		{"unknown, still there", "failed", "still broken after it: the file is refused", broken},
		{"unknown, gone", "repaired", "", repaired},
		{"helped", "repaired", "", repaired},
	} {
		outcome := filepath.Join(s.dir, "state", "plugins", "new", "outcome")
		if err := os.WriteFile(outcome, []byte(row.says), 0o600); err != nil {
			s.t.Fatal(err)
		}
		s.breakConfig(broken)
		_, _, _ = s.cli("restart", "main", "--force") // its doctors look at what it says now
		s.awaitState("error")
		all, code := s.doctor("--repair")
		last := all[len(all)-1].Result
		if last == nil || last.Outcome != row.outcome || last.Doctor != "new" || (code == 0) != (row.outcome == "repaired") ||
			row.told != "" && (last.Error == nil || !strings.Contains(last.Error.Message, row.told)) {
			s.t.Errorf("%s: exit %d, %+v, want %+v", row.says, code, last, row)
			if last != nil {
				s.t.Errorf("error = %+v", last.Error)
			}
		}
		s.ocIs(row.file)
	}
}

// TestLauncherOfAnUnknownVersionIsTheGatewaysError: the gateway says which side to upgrade, and no process was started.
func TestLauncherOfAnUnknownVersionIsTheGatewaysError(t *testing.T) {
	s := newSite(t, emulator(""))
	s.writeConfig(strings.Replace(s.config(), `launcher = "utility"`, `launcher = "future"`, 1) + ofAnotherTime("future",
		"launcher=2-3", "classifier=1-1"))
	s.run()
	got := s.awaitState("error")
	if got.Error == nil ||
		!strings.Contains(got.Error.Message, "speaks the launcher service in versions 2 to 3, this host (gatehost ") ||
		!strings.HasPrefix(got.Error.Hint, "upgrade gatehost") || got.PID != 0 {
		t.Errorf("%+v, error = %+v", got, got.Error)
	}
	s.shutdown()
}
