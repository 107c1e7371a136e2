package e2e_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestVerbsAnswerWhenTheConfigurationIsNoFile: a pipe whose other end no program opens, and a file of 3 GiB. The
// verbs that need no answer of the gateway itself come back, and doctor says what is there.
func TestVerbsAnswerWhenTheConfigurationIsNoFile(t *testing.T) {
	s := newSite(t, emulator(""))
	s.run()
	s.awaitState("running")
	s.must("stop", "main")
	for want, put := range map[string]func(path string) error{
		"a named pipe": func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"3072 MiB":     func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o600), os.Truncate(p, 3<<30)) },
	} {
		if err := errors.Join(os.RemoveAll(s.oc()), put(s.oc())); err != nil {
			t.Fatal(err)
		}
		for _, verb := range [][]string{
			{"doctor", "main"},
			{"doctor", "main", "--repair"},
			{"status", "main"},
			{"config", "check"},
			{"gateway-config", "get", "main", "gateway"},
		} {
			began := time.Now()
			out, errOut, code := s.cli(verb...)
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("%v took %v", verb, took)
			}
			if verb[0] == "doctor" && (!strings.Contains(out+errOut, want) || strings.Contains(out, "healthy")) {
				t.Errorf("%s: %v says (%d)\n%s%s", want, verb, code, out, errOut)
			}
		}
	}
	if err := os.Remove(s.oc()); err != nil {
		t.Fatal(err)
	}
	s.shutdown()
}
