package pluginhost

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/shared/fault"
)

// sandboxedSupervisor has not started anything.
func sandboxedSupervisor(out *bytes.Buffer) *supervisor {
	return newSupervisor(Options{Log: hclog.New(&hclog.LoggerOptions{Output: out}), OnState: func(State) {}}, Spec{
		Name: "p", Sandbox: &sandbox.Spec{Read: []string{"/opt/given"}},
	}, "")
}

// TestRefusalsAreUnderstoodInTheWordsOfEachLanguage: what the plugin tried to use, and the key that would give it.
func TestRefusalsAreUnderstoodInTheWordsOfEachLanguage(t *testing.T) {
	for _, row := range [][2]string{
		{"open /root/.ssh/id_ed25519: permission denied", "/root/.ssh/id_ed25519 read"},
		{"Error: EACCES: permission denied, open '/home/a b/.ssh/id'", "/home/a b/.ssh/id read"},
		{"PermissionError: [Errno 13] Permission denied: '/root/.ssh/../.ssh/id'", "/root/.ssh/id read"},
		{"cat: /root/.ssh/id: Permission denied", "/root/.ssh/id read"},
		{"python3: can't open file '/srv/x.py': [Errno 13] Permission denied", "/srv/x.py read"},
		{"open /opt/given/log: permission denied", "/opt/given/log write"},
		{"mkdir /usr/lib/x: permission denied", "/usr/lib/x write"},
		{"dial tcp 192.0.2.7:443: connect: permission denied", "network 192.0.2.7:443 network"},
		{"Error: connect EACCES 127.0.0.1:8080 - Local (undefined:undefined)", "network 127.0.0.1:8080 network"},
		{
			"error while loading shared libraries: /opt/py/lib/libpython.so: cannot open: EACCES",
			"/opt/py/lib/libpython.so read",
		},
	} {
		text, want := row[0], row[1]
		var out bytes.Buffer
		s := sandboxedSupervisor(&out)
		s.onLogLine(s.spec(), text)
		got := s.refused.list()
		if len(got) != 1 || got[0].What+" "+strings.TrimPrefix(got[0].Key, "plugins.p.sandbox.") != want {
			t.Errorf("%s\ngives %+v, want %s", text, got, want)
		}
		if log := out.String(); !strings.Contains(log, "plugin=p") || !strings.Contains(log, "key="+got[0].Key) {
			t.Errorf("log = %s", log)
		}
	}
}

func TestWordsThatNameNothingOutsideAreLeftAlone(t *testing.T) {
	var out bytes.Buffer
	s := sandboxedSupervisor(&out)
	for _, text := range []string{"opened /root/.ssh/id", "the gateway says: permission denied", "EPERM"} {
		s.onLogLine(s.spec(), text)
	}
	if got := s.refused.list(); len(got) != 0 || out.Len() != 0 {
		t.Errorf("refusals = %+v, log = %s", got, out.String())
	}
}

// TestRefusalsAreLoggedOnceCountedAndBounded: a plugin that tries all paths must not fill log and memory.
func TestRefusalsAreLoggedOnceCountedAndBounded(t *testing.T) {
	var out bytes.Buffer
	s := sandboxedSupervisor(&out)
	for range 3 {
		for i := range 100 {
			s.onLogLine(s.spec(), fmt.Sprintf("open /root/%d: permission denied", i))
		}
	}
	got := s.refused.list()
	if len(got) != maxRefusals/2 || got[0].Times != 3 || got[0].Last.IsZero() ||
		strings.Count(out.String(), "\n") != maxRefusals/2+1 ||
		!strings.Contains(out.String(), "more and more outside of its sandbox") {
		t.Errorf("%d are remembered, the first %+v, and logged\n%s", len(got), got[0], out.String())
	}
}

// TestUsualRefusalsCannotHideOthers: what libraries do fills its own half, and does not concern an operator at once.
func TestUsualRefusalsCannotHideOthers(t *testing.T) {
	var out bytes.Buffer
	s := sandboxedSupervisor(&out)
	for i := range 100 {
		s.onReach(s.spec(), &executable{}, sandbox.Access{Path: fmt.Sprintf("/etc/%d", i)})
	}
	if out.Len() != 0 {
		t.Errorf("log = %s", out.String())
	}
	s.onReach(s.spec(), &executable{}, sandbox.Access{Path: "/root/.ssh/id"})
	s.onReach(s.spec(), &executable{}, sandbox.Access{Path: "/etc/passwd", Write: true})
	got := s.refused.list()
	if len(got) != maxRefusals/2+2 || strings.Count(out.String(), "\n") != 2 ||
		!strings.Contains(out.String(), "what=/root/.ssh/id key=plugins.p.sandbox.read") {
		t.Errorf("%d are remembered, log = %s", len(got), out.String())
	}
}

// TestFileOfItsOwnThatIsNotListedHasItsOwnAdvice: a grant would be the wrong answer.
func TestFileOfItsOwnThatIsNotListedHasItsOwnAdvice(t *testing.T) {
	var out bytes.Buffer
	s := sandboxedSupervisor(&out)
	exe := &executable{path: "/p/mine", manifest: &manifest.Manifest{Dir: "/p/mine"}}
	s.onReach(s.spec(), exe, sandbox.Access{Path: "/p/mine/lib/new.js"})
	s.onReach(s.spec(), exe, sandbox.Access{Path: "/p/mine/__pycache__/main.pyc"})
	s.onReach(s.spec(), exe, sandbox.Access{Path: "/p/mine/notes", Write: true})
	got := s.refused.list()
	if len(got) != 3 || got[0].Key != "[files] of plugin.toml" || got[2].Key != "plugins.p.sandbox.write" ||
		!strings.Contains(out.String(), "gatehost plugin seal /p/mine") || strings.Contains(out.String(), "pycache") {
		t.Errorf("refusals = %+v\nlog = %s", got, out.String())
	}
}

func TestNothingIsOverheardOfAPluginThatIsNotShutIn(t *testing.T) {
	var out bytes.Buffer
	s := newSupervisor(Options{Log: hclog.New(&hclog.LoggerOptions{Output: &out}), OnState: func(State) {}},
		Spec{Name: "p"}, "")
	s.onLogLine(s.spec(), "open /root/.ssh/id: permission denied")
	if len(s.refused.list()) != 0 || sandboxAdvice(s.spec(), []string{"open /root/x: permission denied"}) != "" {
		t.Error("a refusal that is not the sandbox's is told as one")
	}
}

// TestErrorsOfCallsThatLookLikeARefusalSayHowToAllowIt: and only those of a plugin that is sandboxed.
func TestErrorsOfCallsThatLookLikeARefusalSayHowToAllowIt(t *testing.T) {
	denied := fault.New(fault.PermissionDenied, "I may not read /srv/models")
	says := fault.New(fault.Internal, "open /srv/models: permission denied")
	other := fault.New(fault.Internal, "open /srv/models: no such file")
	for _, row := range []struct {
		err  error
		shut *sandbox.Spec
		told bool
	}{
		{nil, &sandbox.Spec{}, false},
		{denied, &sandbox.Spec{}, true},
		{says, &sandbox.Spec{}, true},
		{other, &sandbox.Spec{}, false},
		{denied, nil, false},
		{says, nil, false},
	} {
		var out bytes.Buffer
		s := newSupervisor(Options{Log: hclog.New(&hclog.LoggerOptions{Output: &out}), OnState: func(State) {}},
			Spec{Name: "p", Sandbox: row.shut}, "")
		got := s.refusedCall(methods["Doctor.Diagnose"], row.err)
		if !row.told {
			if !errors.Is(got, row.err) || fault.HintOf(got) != "" || out.Len() > 0 || len(s.refused.list()) > 0 {
				t.Errorf("%v, sandbox %v: %v (hint %q), log %s", row.err, row.shut, got, fault.HintOf(got), &out)
			}
			continue
		}
		if fault.CodeOf(got) != fault.PermissionDenied || !errors.Is(got, row.err) ||
			!strings.Contains(fault.HintOf(got), "add it to plugins.p.sandbox.read") ||
			!strings.Contains(out.String(), "what=/srv/models") || len(s.refused.list()) != 1 {
			t.Errorf("%v: %v (hint %q), log %s", row.err, got, fault.HintOf(got), &out)
		}
	}
}
