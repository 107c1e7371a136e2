package e2e_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pluginReport is what status tells of a plugin that is refused, or was.
type pluginReport struct {
	Name  string `json:"name"`
	State string `json:"state"`
	Error *struct {
		Message string `json:"message"`
		Hint    string `json:"hint"`
	} `json:"error"`
	Pin *struct {
		State string `json:"state"`
	} `json:"pin"`
	Asks []struct {
		What, Value  string
		Asked, Given bool
	} `json:"asks"`
	Refused []struct {
		What, Key string
		Times     int
	} `json:"refused"`
}

func (s *site) pluginReports() map[string]pluginReport {
	s.t.Helper()
	out, _, code := s.cli("plugin", "list", "--json")
	var all struct {
		Plugins []pluginReport `json:"plugins"`
	}
	if code == 0 {
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			s.t.Fatalf("plugin list --json: %v\n%s", err, out)
		}
	}
	reports := map[string]pluginReport{}
	for _, p := range all.Plugins {
		reports[p.Name] = p
	}
	return reports
}

// withDoctors puts plugins into the chain before the shipped doctor; tables are their tables.
func withDoctors(s *site, names []string, tables string) string {
	list, _ := json.Marshal(append(names, "doctor"))
	return strings.Replace(s.config(), `doctors = ["doctor"]`, "doctors = "+string(list), 1) + tables
}

// program is a file of a site that is executable.
func (s *site) program(name string, data []byte, mode os.FileMode) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// elfFor is the head of an ELF program for a machine (e_machine), and nothing behind it.
func elfFor(machine uint16) []byte {
	head := make([]byte, 64)
	copy(head, "\x7fELF\x02\x01\x01")
	binary.LittleEndian.PutUint16(head[16:], 2)
	binary.LittleEndian.PutUint16(head[18:], machine)
	return head
}

// TestPluginsThatAreNoneAreNamedAndRefusedAndTheGatewayGoesOn has all of them in one chain of doctors.
func TestPluginsThatAreNoneAreNamedAndRefusedAndTheGatewayGoesOn(t *testing.T) {
	s := newSite(t, emulator(""))
	bad, err := os.ReadFile(filepath.Join(bin, "bad-plugin"))
	if err != nil {
		t.Fatal(err)
	}
	manifest := "manifest = 1\nname = \"bad-plugin\"\nversion = \"0.1.0\"\nkinds = [%q]\n" +
		"run = [\"/bin/sh\", \"./main.sh\"]\n"
	sealed := func(name, kind string) string {
		dir := filepath.Dir(s.program(name+"/main.sh", []byte("echo no\n"), 0o644))
		s.program(name+"/plugin.toml", fmt.Appendf(nil, manifest, kind), 0o644)
		s.must("plugin", "seal", dir)
		return dir
	}
	changed := sealed("changed", "doctor")
	s.program("changed/main.sh", []byte("echo evil\n"), 0o644)
	moved := sealed("moved", "doctor")
	bare := filepath.Dir(s.program("bare/readme", nil, 0o644))
	rows := []struct{ name, table, want string }{
		{
			"script", fmt.Sprintf("path = %q", s.program("script", []byte("#!/bin/sh\necho I am a script\nsleep 600\n"), 0o755)),
			"it is not a gatehost plugin: it did not begin with a handshake; its last lines: stdout: I am a script",
		},
		{"bare", fmt.Sprintf("path = %q", bare), "it is a directory without plugin.toml"},
		{
			"elsewhere", fmt.Sprintf("path = %q", s.program("elsewhere", elfFor(0xf3), 0o755)),
			"it is not a program of this platform (linux/",
		},
		{
			"windows", fmt.Sprintf("path = %q", s.program("windows", []byte("MZ"+strings.Repeat("\x00", 100)), 0o755)),
			"but a program for Windows",
		},
		{"open", fmt.Sprintf("path = %q", s.program("open", bad, 0o777)), "every user may write to it"},
		{
			"pinned", fmt.Sprintf("path = %q\nsha256 = %q", filepath.Join(bin, "bad-plugin"), strings.Repeat("0", 64)),
			"config.toml wants 000",
		},
		{"changed", fmt.Sprintf("path = %q", changed), `files."main.sh": has another sum`},
		{"moved", fmt.Sprintf("path = %q\nsha256 = %q", moved, strings.Repeat("0", 64)), "the manifest's sha256 is "},
		{
			"talks", fmt.Sprintf("path = %q\nargs = [\"talks-first\"]", filepath.Join(bin, "bad-plugin")),
			"it did not begin with a handshake; its last lines: stdout: hello, I am about to start",
		},
		{
			"old", fmt.Sprintf("path = %q\nargs = [\"old-protocol\"]", filepath.Join(bin, "bad-plugin")),
			"it speaks another version of the plugin protocol",
		},
	}
	var names []string
	tables := ""
	for _, row := range rows {
		names = append(names, row.name)
		tables += "[plugins." + row.name + "]\n" + row.table + "\n"
	}
	s.writeConfig(withDoctors(s, names, tables))
	s.run()
	before := s.awaitState("running")
	var got map[string]pluginReport
	s.eventually("all are refused", func() (bool, string) {
		got = s.pluginReports()
		for _, row := range rows {
			if got[row.name].State != "failed" {
				return false, fmt.Sprintf("%+v", got[row.name])
			}
		}
		return true, ""
	})
	for _, row := range rows {
		p := got[row.name]
		if p.Error == nil || !strings.Contains(p.Error.Message, row.want) ||
			!strings.Contains(p.Error.Message, fmt.Sprintf("plugin %q", row.name)) || p.Error.Hint == "" {
			t.Errorf("%s: error = %+v\nwant %s, its name and a hint", row.name, p.Error, row.want)
		}
	}
	if got["pinned"].Pin.State != "mismatch" || got["moved"].Pin.State != "mismatch" ||
		got["bare"].Pin.State != "not-pinned" {
		t.Errorf("pins: %+v %+v %+v", got["pinned"].Pin, got["moved"].Pin, got["bare"].Pin)
	}
	says := "manifest: bad-plugin 0.1.0 serves as doctor, runs /bin/sh ./main.sh"
	if out := s.must("plugin", "info", "moved"); !strings.Contains(out, says) ||
		!strings.Contains(out, "pin: does not match") {
		t.Errorf("plugin info says\n%s", out)
	}
	s.must("doctor", "main") // by the one that works
	if after := s.awaitState("running"); after.PID != before.PID || after.Restarts != 0 {
		t.Errorf("before: %+v\nafter:  %+v", before, after)
	}
	if p := got["doctor"]; p.State != "running" {
		t.Errorf("the doctor: %+v", p)
	}
	s.must("stop", "main")
	s.shutdown()
}

// TestPluginThatReachesTooFarIsNamedAndRefusedAndTheGatewayGoesOn: what doctors do that start like any other.
func TestPluginThatReachesTooFarIsNamedAndRefusedAndTheGatewayGoesOn(t *testing.T) {
	s := newSite(t, emulator(""))
	names := []string{"absent", "huge", "outside", "greedy", "nosy", "silent-nosy"}
	tables := ""
	for _, name := range names {
		tables += fmt.Sprintf("[plugins.%s]\npath = %q\nargs = [%q]\n", name, filepath.Join(bin, "bad-plugin"), name)
		s.program("home/.ssh/id_"+name, []byte("a key"), 0o600)
	}
	s.writeConfig(withDoctors(s, names, tables))
	s.run()
	before := s.awaitState("running")
	config := s.program("oc/openclaw.json", []byte("{}\n"), 0o600)
	said := s.must("doctor", "main")
	log := s.stderr.String()
	for what, want := range map[string]string{
		"a kind that it does not serve": `plugin "absent" announces a doctor and does not serve Doctor.Diagnose`,
		"an answer of 100 MB":           `plugin "huge" answers Doctor.Diagnose by more than 16 MiB`,
		"a plan for another's file": `"` + filepath.Join(s.dir, "home", ".ssh", "authorized_keys") +
			`" is outside the gateway's state directory`,
		"a grant": "plugin.greedy: plugin asks for a grant that it was not given: grant=gateway-config " +
			"key=plugins.greedy.grant",
		"a key of ssh, in silence": "plugin=silent-nosy what=" + filepath.Join(s.dir, "home", ".ssh", "id_silent-nosy") +
			" key=plugins.silent-nosy.sandbox.read",
		"a key of ssh": "plugin=nosy what=" + filepath.Join(s.dir, "home", ".ssh", "id_nosy") +
			" key=plugins.nosy.sandbox.read",
	} {
		if !strings.Contains(strings.ReplaceAll(log, `\"`, `"`), want) {
			t.Errorf("%s: the log does not say %q", what, want)
		}
	}
	if !strings.Contains(said, "planted: available true, 3 bytes long, 0 bytes given") ||
		!strings.Contains(said, "planted: read 0 bytes of a key") {
		t.Errorf("the doctors say\n%s", said)
	}
	if data, err := os.ReadFile(config); err != nil || string(data) != "{}\n" {
		t.Errorf("the configuration is %q, %v", data, err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "home", ".ssh", "authorized_keys")); err == nil {
		t.Error("the plan was executed")
	}
	got := s.pluginReports()
	if asks := got["greedy"].Asks; len(asks) != 1 || asks[0].Value != "gateway-config" || !asks[0].Asked || asks[0].Given {
		t.Errorf("greedy asks for %+v", asks)
	}
	for _, name := range []string{"nosy", "silent-nosy"} { // the second has told no one
		if r := got[name].Refused; len(r) != 1 || r[0].Key != "plugins."+name+".sandbox.read" {
			t.Errorf("%s was refused %+v", name, r)
		}
	}
	if after := s.awaitState("running"); after.PID != before.PID || after.Restarts != 0 {
		t.Errorf("before: %+v\nafter:  %+v", before, after)
	}
	s.must("stop", "main")
	s.shutdown()
}
