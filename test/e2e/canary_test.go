package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// key is a secret that the host does not know: only its shape tells.
const key = "sk-proj-CANARYCANARYCANARY0123456789"

// disguises are the forms in which foreign programs say the canary, a key, and what a terminal obeys.
func disguises() []string {
	escaped := &strings.Builder{}
	for _, c := range []byte(canary) {
		fmt.Fprintf(escaped, "\\u%04x", c)
	}
	return []string{
		canary, base64.StdEncoding.EncodeToString([]byte("x:" + canary)), hex.EncodeToString([]byte(canary)),
		strings.ReplaceAll(canary, "-", "%2D"), escaped.String(), canary[:9] + "\x1b[0m" + canary[9:], key,
		`"apiKey": "planted-key"`, "\x1b]0;title\a\u009b31m\u202e",
	}
}

// leaks are what no output may contain: half of the canary in each of its forms, and the rest of disguises.
func leaks() []string {
	return []string{
		canary[:14], canary[14:], hex.EncodeToString([]byte(canary[:14])), hex.EncodeToString([]byte(canary[14:28])),
		base64.StdEncoding.EncodeToString([]byte("x:" + canary))[:20],
		base64.StdEncoding.EncodeToString([]byte("user:" + canary))[8:28], strings.ReplaceAll(canary, "-", "%2D")[:20],
		`\u0063\u0061\u006e\u0061`, "CANARYCANARY", "planted-key",
	}
}

// searched looks for leaks in an output; where names it.
func searched(t *testing.T, where, text string) {
	t.Helper()
	plain := strings.ReplaceAll(text, `\\`, `\`) // JSON in JSON
	for _, leak := range leaks() {
		if strings.Contains(text, leak) || strings.Contains(plain, leak) {
			at := strings.Index(plain, leak)
			t.Errorf("%s: %q is in …%q…", where, leak, plain[max(0, at-80):min(len(plain), max(at, 0)+80)])
		}
	}
	if at := strings.IndexFunc(text, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t' || r == '\u202e'
	}); at >= 0 {
		t.Errorf("%s: a control character in %q", where, text[max(0, at-80):min(len(text), at+80)])
	}
}

// aTelltale is a site on which a gateway and a plugin say the canary at every entrance.
func aTelltale(t *testing.T, misbehave string) *site {
	t.Helper()
	s := newSite(t, emulator(misbehave))
	said := []byte(strings.Join(disguises(), " ") + "\n2026-11-30T00:00:00Z [ERROR] gatehost: forged")
	for i := range said {
		said[i] ^= 0x55
	}
	s.writeFile("words", strings.Join(disguises(), "\n")+
		"\n-----BEGIN PRIVATE KEY-----\nCANARYCANARYCANARY\n-----END PRIVATE KEY-----\n")
	leaky := s.program("leaky", fmt.Appendf(nil, "#!/bin/sh\n[ \"$1\" = gateway ] && cat %q >&2\nexec %q \"$@\"\n",
		filepath.Join(s.dir, "words"), filepath.Join(bin, "gateway-emulator")), 0o755)
	s.gw.command = []string{leaky}
	text := withDoctors(s, []string{"telltale"}, fmt.Sprintf("[plugins.telltale]\npath = %q\nargs = [\"telltale:%x\"]\n",
		filepath.Join(bin, "bad-plugin"), said))
	if !strings.Contains(misbehave, "refuse") { // there the gateway's own words are to be seen
		text = strings.Replace(text, `classifiers = ["doctor"]`, `classifiers = ["telltale", "doctor"]`, 1)
	}
	s.writeConfig(text)
	return s
}

// outputs searches everything that the host shows and stores.
func (s *site) outputs() {
	s.t.Helper()
	for _, verb := range [][]string{
		{"status"},
		{"status", "--json"},
		{"explain", "main"},
		{"events"},
		{"events", "--json"},
		{"logs", "main"},
		{"logs", "main", "--json"},
		{"plugin", "list"},
		{"plugin", "list", "--json"},
		{"plugin", "info", "telltale"},
		{"health", "main"},
		{"doctor", "main"},
		{"doctor", "main", "--json"},
		{"doctor", "main", "--repair", "--stop"},
		{"config", "show"},
	} {
		out, errOut, _ := s.cli(verb...)
		searched(s.t, "gatehost "+strings.Join(verb, " "), out+errOut)
	}
	searched(s.t, "the host's terminal", s.stderr.String())
	walk(s.t, filepath.Join(s.dir, "state"), func(path string, data []byte) {
		// the raw output and the launch's environment are private to the user (docs/security.md)
		// the reserve is random
		if strings.Contains(path, "/run/") || filepath.Base(path) == "reserve" {
			return
		}
		searched(s.t, path, string(bytes.Map(func(r rune) rune { // a journal is not for terminals
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, data)))
	})
}

// TestNoEntranceLetsASecretIn: each form of a secret, and of what a terminal obeys, at each entrance for foreign text:
// the gateway's output, its events, its errors, its refusal; a doctor's findings, plan, progress, error and log; a
// classifier's words. Nothing of it is shown or stored.
func TestNoEntranceLetsASecretIn(t *testing.T) {
	for _, misbehave := range []string{"tell-token", "tell-token,refuse-token"} {
		t.Run(misbehave, func(t *testing.T) {
			s := aTelltale(t, misbehave)
			s.run()
			if strings.Contains(misbehave, "refuse") {
				s.await("the refusal", func(g gatewayStatus) bool { return g.Error != nil })
			} else {
				s.awaitState("running")
				out, errOut, _ := s.cli("rpc", "main", "no.such.method")
				searched(t, "gatehost rpc", out+errOut)
			}
			s.eventually("the doctor was asked", func() (bool, string) {
				out, errOut, _ := s.cli("doctor", "main", "--json")
				return strings.Contains(out, "telltale"), out + errOut
			})
			s.outputs()
			if log := s.stderr.String(); !strings.Contains(log, "[redacted]") {
				t.Errorf("nothing was said at all: %s", log)
			}
			s.shutdown()
		})
	}
}

// TestTheCanaryWouldBeFound plants each leak in a text that outputs searches.
func TestTheCanaryWouldBeFound(t *testing.T) {
	for _, form := range disguises() {
		encoded, err := json.Marshal(form)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{form, string(encoded)} {
			found := false
			for _, leak := range leaks() {
				found = found || strings.Contains(strings.ReplaceAll(text, `\\`, `\`), leak)
			}
			if !found && !strings.ContainsFunc(text, unicode.IsControl) && !strings.Contains(text, `\u001b`) {
				t.Errorf("%q would not be found", text)
			}
		}
	}
}
