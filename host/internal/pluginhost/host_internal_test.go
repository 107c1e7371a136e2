package pluginhost

import (
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// TestNumberOfARemovedPluginIsFreeWhenItHasEnded: paths of sockets must be short, however many plugins come and go.
func TestNumberOfARemovedPluginIsFreeWhenItHasEnded(t *testing.T) {
	h := New(Options{Log: hclog.NewNullLogger(), PluginDir: t.TempDir(), DataDir: t.TempDir(), RuntimeDir: t.TempDir()})
	free := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.freeNumber()
	}
	h.Start(t.Context())
	defer h.Close()
	for round := range 3 {
		if err := h.Add(Spec{Name: "p", Path: "none"}); err != nil {
			t.Fatal(err)
		}
		if n := free(); n != 1 {
			t.Fatalf("round %d: number %d is free", round, n)
		}
		ended, err := h.Remove("p")
		if err != nil {
			t.Fatal(err)
		}
		<-ended
		for until := time.Now().Add(time.Minute); free() != 0; time.Sleep(time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("round %d: number %d is free", round, free())
			}
		}
	}
}
