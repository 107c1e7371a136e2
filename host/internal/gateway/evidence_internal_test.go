package gateway

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/shared/plugin"
)

// tree makes files below a new directory; a name that ends in / is a directory. Content that begins with -> is a link.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if len(text) > 2 && text[:2] == "->" {
			err = os.Symlink(text[2:], path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o700) //nolint:gosec // a program
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestEvidenceReadsTheGatewaysProgramAndNotTheHome(t *testing.T) {
	dir := tree(t, map[string]string{
		"home/oc/node_modules/openclaw/package.json":            "{}",
		"home/oc/node_modules/openclaw/openclaw.mjs":            "#!/usr/bin/env -S node --no-warnings\n",
		"home/oc/node_modules/openclaw/node_modules/x/index.js": "",
		"home/oc/node_modules/.bin/openclaw":                    "->../openclaw/openclaw.mjs",
		"home/nvm/bin/node":                                     "ELF",
		"home/checkout/package.json":                            "{}",
		"home/checkout/bin/openclaw.mjs":                        "",
		"home/wrapper":                                          "#!/bin/sh\n",
		"opt/program":                                           "ELF",
		"opt/script":                                            "#!" + filepath.Join("/", "nowhere", "python") + "\n",
	})
	home := filepath.Join(dir, "home")
	process := plugin.ProcessSpec{
		Cwd: filepath.Join(home, "checkout"),
		Env: []plugin.EnvVar{{Name: "PATH", Value: filepath.Join(home, "oc/node_modules/.bin") + ":" +
			filepath.Join(home, "nvm/bin")}},
	}
	for name, row := range map[string]struct {
		command, want []string
	}{
		"a package by its link": {[]string{"openclaw"}, []string{
			"home/oc/node_modules/openclaw/openclaw.mjs", "home/oc/node_modules", "home/nvm/bin/node", "home/nvm/bin",
		}},
		"a checkout, relative": {[]string{"node", "bin/openclaw.mjs"}, []string{
			"home/nvm/bin/node", "home/nvm/bin", "home/checkout/bin/openclaw.mjs", "home/checkout",
		}},
		"a file right in the home": {[]string{filepath.Join(home, "wrapper")}, []string{"home/wrapper"}},
		"a program":                {[]string{filepath.Join(dir, "opt/program")}, []string{"opt/program", "opt"}},
		"an interpreter that is not there": {
			[]string{filepath.Join(dir, "opt/script")},
			[]string{"opt/script", "opt"},
		},
		"nothing": {[]string{"no-such-program"}, nil},
	} {
		var want []string
		for _, w := range row.want {
			want = append(want, filepath.Join(dir, w))
		}
		got := slices.DeleteFunc(programPlaces(row.command, process, home), func(p string) bool {
			return p == "" || sandbox.Inside(p, []string{"/usr", "/bin", "/lib"}) // the interpreter of the system
		})
		if !slices.Equal(got, want) {
			t.Errorf("%s: places %q, want %q", name, got, want)
		}
		for _, place := range got {
			if sandbox.Inside(home, []string{place}) {
				t.Errorf("%s: %s holds the home", name, place)
			}
		}
	}
}

func TestDirectoryOfLocksIsNoLinkOfAnotherUser(t *testing.T) {
	dir := t.TempDir()
	real, link, file := filepath.Join(dir, "real"), filepath.Join(dir, "link"), filepath.Join(dir, "file")
	for _, how := range []string{"made", "found"} {
		if !ownDir(real) {
			t.Errorf("a directory of our own that was %s is refused", how)
		}
	}
	if err := errors.Join(os.Symlink(dir, link), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if ownDir(link) || ownDir(file) || ownDir("") || ownDir(filepath.Join(dir, "no", "dir")) {
		t.Error("a link, a file, nothing, or a place without a parent is taken")
	}
}

func TestWordsOfADenialAreFound(t *testing.T) {
	for _, line := range []string{
		"Error: EACCES: permission denied, mkdtemp '/home/me/.cache/openclaw/x'",
		"EXDEV: cross-device link not permitted, rename '/a' -> '/b'", "unable to open database file (errcode=14)",
	} {
		if !denial.MatchString(line) {
			t.Errorf("%q is taken for an answer", line)
		}
	}
	for _, line := range []string{`{"valid":true,"path":"/x","warnings":[]}`, "Unrecognized key: \"EACCESS\""} {
		if denial.MatchString(line) {
			t.Errorf("%q is taken for a denial", line)
		}
	}
}

func TestEvidenceRunsInASandboxWhereThereIsOne(t *testing.T) {
	landlock := sandbox.Support{Level: 7}
	self := func() (string, error) { return os.Args[0], nil }
	argv := []string{"openclaw", "--version"}
	for name, row := range map[string]struct {
		box     evidenceBox
		why     string
		fails   bool
		wrapped bool
	}{
		"landlock":     {evidenceBox{here: landlock, self: self}, "", false, true},
		"none":         {evidenceBox{self: self}, "this platform has no landlock", false, false},
		"switched off": {evidenceBox{here: landlock, self: self, off: true}, "repair.evidence_sandbox is off", false, false},
		"the host's program is not known": {evidenceBox{here: landlock, self: func() (string, error) {
			return "", errors.New("no")
		}}, "", true, false},
		"the host's program is gone": {evidenceBox{here: landlock, self: func() (string, error) {
			return "/nowhere/gatehost", nil
		}}, "", true, false},
	} {
		p := plugin.ProcessSpec{Argv: slices.Clone(argv)}
		row.box.spec = sandbox.Spec{Command: true}
		why, err := row.box.wrap(&p)
		if why != row.why || (err != nil) != row.fails {
			t.Errorf("%s: why %q, error %v", name, why, err)
		}
		if !row.wrapped && !slices.Equal(p.Argv, argv) {
			t.Errorf("%s: argv %q", name, p.Argv)
		}
		if row.wrapped && (len(p.Argv) != 6 || p.Argv[0] != os.Args[0] || p.Argv[1] != sandbox.Verb ||
			!slices.Equal(p.Argv[3:], append([]string{"--"}, argv...))) {
			t.Errorf("%s: argv %q", name, p.Argv)
		}
	}
}

func TestEvidenceSandboxHasTheStateAndWhatTheOperatorNames(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	temp := t.TempDir()
	box := boxOf(config.Repair{EvidenceRead: []string{"/opt/oc"}, EvidenceSandbox: config.SandboxAuto}, []string{"/x/y"},
		profile.Result{StateDir: "/srv/state", ConfigPath: "/home/me/openclaw.json"}, plugin.ProcessSpec{}, temp)
	if want := []string{"/opt/oc", "/srv/state", "/home/me/openclaw.json"}; !slices.Equal(box.spec.Read, want) {
		t.Errorf("reads %q, want %q", box.spec.Read, want)
	}
	if !slices.Equal(box.spec.Write, []string{temp}) || box.spec.Network || !box.spec.Command || box.off {
		t.Errorf("box %+v", box)
	}
	box = boxOf(config.Repair{EvidenceSandbox: config.SandboxOff}, nil,
		profile.Result{ConfigPath: "/srv/conf/openclaw.json"}, plugin.ProcessSpec{}, temp)
	if !box.off || !slices.Contains(box.spec.Read, "/srv/conf") {
		t.Errorf("box %+v", box)
	}
}
