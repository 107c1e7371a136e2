package pluginhost_test

import (
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/sandbox"
)

// refusedOf is what was noticed of the plugin: path and key.
func refusedOf(h *pluginhost.Host) map[string]string {
	out := map[string]string{}
	for _, r := range h.Plugins()[0].Refused {
		out[r.What] = strings.TrimPrefix(r.Key, "plugins.p.sandbox.")
	}
	return out
}

// TestRefusalThatThePluginSwallowsIsNoticed: it says nothing and logs nothing, but the kernel reports it.
func TestRefusalThatThePluginSwallowsIsNoticed(t *testing.T) {
	home := t.TempDir()
	secret := filepath.Join(home, ".ssh", "id_ed25519")
	put(t, secret, "canary")
	h := shutIn(t, &sandbox.Spec{Read: []string{filepath.Join(home, "given")}})
	put(t, filepath.Join(home, "given", "facts"), "for you")
	put(t, filepath.Join(home, "by-child"), "canary")
	quietly := func(what string) {
		t.Helper()
		if text, err := attempt(t, h, "quietly "+what); err != nil || text != "nothing to see here" {
			t.Fatalf("%s: %q, %v", what, text, err)
		}
	}
	// Files that it may read, and files that do not exist, are not reported.
	dir, err := attempt(t, h, "dir ")
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{
		"read " + filepath.Join(home, "missing"), "read /proc/self/status", "read /dev/null", "run true",
		"write " + filepath.Join(dir, "own"), "read " + filepath.Join(dir, "own"), "list " + dir,
	} {
		quietly(what)
	}
	if got := refusedOf(h); len(got) != 0 {
		t.Errorf("noticed %v", got)
	}
	quietly("read " + secret)
	quietly("list " + home)
	quietly("write " + filepath.Join(home, "new"))
	quietly("write " + filepath.Join(home, "given", "facts"))
	quietly("run cat " + filepath.Join(home, "by-child"))
	quietly("link " + filepath.Join(home, ".ssh"))
	quietly("read " + filepath.Join(dir, "link", "id_ed25519"))
	rel, err := filepath.Rel(dir, secret)
	if err != nil {
		t.Fatal(err)
	}
	quietly("read " + rel)
	ear, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ear.Close() }()
	quietly("connect " + ear.Addr().String())
	quietly("udp 127.0.0.1:9")
	want := map[string]string{
		secret: "read", home: "read", filepath.Join(home, "new"): "write",
		filepath.Join(home, "given", "facts"): "write", filepath.Join(home, "by-child"): "read",
		"network TCP": "network", "network UDP": "network", // no address is known when a socket is made
	}
	if got := refusedOf(h); !maps.Equal(got, want) {
		t.Errorf("noticed %v\nwant    %v", got, want)
	}
	for _, r := range h.Plugins()[0].Refused {
		if r.What == secret && r.Times != 3 {
			t.Errorf("%+v, want three times: by its path, by a link of the plugin's own, and from its directory", r)
		}
	}
	first := pid(t, h)
	if err := h.Restart(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	quietly("read " + filepath.Join(home, "by-child"))
	if i := slices.IndexFunc(h.Plugins()[0].Refused, func(r pluginhost.Refusal) bool {
		return r.Times == 2 &&
			filepath.Base(r.What) == "by-child"
	}); i < 0 || pid(t, h) == first {
		t.Errorf("of the next process: %+v", h.Plugins()[0].Refused)
	}
}

// TestRefusalsOfScriptsAreNoticed: in every language, also when the script swallows them.
func TestRefusalsOfScriptsAreNoticed(t *testing.T) {
	node, python, needs := interpreters(t)
	secret := filepath.Join(t.TempDir(), ".ssh", "id")
	put(t, secret, "canary")
	for name, row := range map[string]struct{ run, file, text string }{
		"node": {
			fmt.Sprintf(`[%q, "./main.js"]`, node), "main.js",
			fmt.Sprintf("try { require('fs').readFileSync(%q); } catch {}\nprocess.exit(7);\n", secret),
		},
		"python": {
			fmt.Sprintf(`[%q, "./main.py"]`, python), "main.py",
			fmt.Sprintf("try:\n    open(%q)\nexcept OSError:\n    pass\nraise SystemExit(7)\n", secret),
		},
	} {
		t.Run(name, func(t *testing.T) {
			timing := quick()
			timing.CircuitAfter = 1
			h, _ := newHost(t, timing, pluginhost.Spec{
				Name: "p", Path: directory(t, row.run, "", map[string]string{row.file: row.text}),
				Sandbox: &sandbox.Spec{Read: needs}, StartTimeout: patience,
			})
			awaitState(t, h, pluginhost.Failed)
			if got := refusedOf(h); got[secret] != "read" {
				t.Errorf("noticed %v", got)
			} else {
				t.Logf("noticed %v", got)
			}
		})
	}
}

// TestPluginThatOpensManyFilesAtOnceIsWatchedWithoutHarm: many threads, and signals in between, as Go's scheduler sends
// them.
func TestPluginThatOpensManyFilesAtOnceIsWatchedWithoutHarm(t *testing.T) {
	h := shutIn(t, &sandbox.Spec{})
	took, err := attempt(t, h, "storm 4000")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("4000 files took %s", took)
	if got := refusedOf(h); len(got) != 0 {
		t.Errorf("noticed %v", got)
	}
}
