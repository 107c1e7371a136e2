package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// found is a finding as events tell it, with who found it.
type found struct {
	Plugin   string   `json:"plugin"`
	Code     string   `json:"code"`
	Hint     string   `json:"hint"`
	Evidence []string `json:"evidence"`
}

func (s *site) findings() []found {
	s.t.Helper()
	var all []found
	for line := range strings.Lines(s.must("events", "--since", "1h", "--json")) {
		var e struct {
			Type string          `json:"type"`
			Data json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			s.t.Fatalf("event %q: %v", line, err)
		}
		if e.Type != "gateway.doctor.finding" {
			continue
		}
		var f found
		if err := json.Unmarshal(e.Data, &f); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}

// TestShippedDoctorsAreAskedInOrderAndAllAreRecorded: the first error counts, whichever doctor found it, and nothing of
// the others is lost.
func TestShippedDoctorsAreAskedInOrderAndAllAreRecorded(t *testing.T) {
	for _, row := range []struct {
		name, misbehave, chain, claims string
		want                           []string
	}{
		{
			"a full disk", "full-disk", `["doctor", "doctor-environment"]`, "disk-full",
			[]string{"doctor-environment disk-full"},
		},
		{
			"an old Node", "old-node", `["doctor", "doctor-environment"]`, "runtime-fatal",
			[]string{"doctor runtime-fatal", "doctor-environment node-unsupported"},
		},
		{
			"an old Node, the other way round", "old-node", `["doctor-environment", "doctor"]`, "node-unsupported",
			[]string{"doctor-environment node-unsupported", "doctor runtime-fatal"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newSite(t, emulator(row.misbehave))
			s.writeConfig(strings.Replace(s.config(), `doctors = ["doctor"]`, "doctors = "+row.chain, 1))
			s.run()
			got := s.awaitState("error")
			if got.Error == nil || got.Error.Code != row.claims || got.Error.Hint == "" {
				t.Errorf("error = %+v, want %s with a hint", got.Error, row.claims)
			}
			var seen []string
			for _, f := range s.findings() {
				// of this machine, perhaps
				if what := f.Plugin + " " + f.Code; f.Code != "disk-nearly-full" && !slices.Contains(seen, what) {
					seen = append(seen, what)
				}
				// It is sandboxed, and sees all the same how full the disk is.
				if f.Code == "disk-full" && !slices.ContainsFunc(f.Evidence, func(e string) bool {
					return strings.Contains(e, "are free where "+s.dir)
				}) {
					t.Errorf("evidence = %q", f.Evidence)
				}
			}
			if !slices.Equal(seen, row.want) {
				t.Errorf("findings = %q, want %q", seen, row.want)
			}
			s.shutdown()
		})
	}
}

func TestEnvironmentDoctorFindsNothingOnAGatewayThatRuns(t *testing.T) {
	s := newSite(t, emulator(""))
	s.writeConfig(strings.Replace(s.config(), `doctors = ["doctor"]`, `doctors = ["doctor-environment"]`, 1))
	s.run()
	s.awaitState("running")
	all, code := s.doctor()
	for _, m := range all {
		if m.Finding != nil && m.Finding.Code != "disk-nearly-full" {
			t.Errorf("finding = %+v", m.Finding)
		}
	}
	if code != 0 || pluginOf(t, s, "doctor-environment").State != "running" {
		t.Errorf("exit %d, plugin %s", code, fmt.Sprint(pluginOf(t, s, "doctor-environment")))
	}
	s.shutdown()
}

// TestRefusedTokenIsDiagnosedWhenAnOperatorAsks: such a start ends at once, and no doctor is asked before `gatehost
// doctor`.
func TestRefusedTokenIsDiagnosedWhenAnOperatorAsks(t *testing.T) {
	s := newSite(t, emulator("refuse-token"))
	s.writeConfig(strings.Replace(s.config(), `doctors = ["doctor"]`, `doctors = ["doctor", "doctor-environment"]`, 1))
	s.run()
	s.awaitState("error")
	all, _ := s.doctor()
	if !slices.ContainsFunc(all, func(m told) bool {
		return m.Finding != nil && m.Finding.Plugin == "doctor-environment" && m.Finding.Code == "token-refused" &&
			m.Finding.Hint != ""
	}) {
		t.Errorf("doctor says %+v", all)
	}
	s.shutdown()
}
