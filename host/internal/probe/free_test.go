package probe_test

import (
	"net"
	"testing"

	"github.com/gatehost/gatehost/host/internal/probe"
)

// TestFreeTellsWhetherAPortIsListenedOn, and connects to nothing that listens where the kernel's table can be read.
func TestFreeTellsWhetherAPortIsListenedOn(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		l, err := net.Listen("tcp", at) //nolint:noctx,gosec // a listener of the test
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		if free, err := probe.Free(t.Context(), port); free || err != nil {
			t.Errorf("%s: free %t, %v", at, free, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if free, err := probe.Free(t.Context(), port); !free || err != nil {
			t.Errorf("%s after its end: free %t, %v", at, free, err)
		}
	}
}
