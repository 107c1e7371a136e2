package process_test

import (
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/shim/process"
)

// listening returns the descriptor of a socket that listens, for processes to inherit.
func listening(t *testing.T) *os.File {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// A process that is older than the root has the socket from another one: a service manager, or us.
func TestOnlyWhoMayHaveInheritedASocketBelongsToTheTree(t *testing.T) {
	f := listening(t)
	holder := func() process.Identity {
		cmd := exec.Command("sleep", "600")
		cmd.ExtraFiles = []*os.File{f}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		id, err := process.Identify(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond) // start times count in 10 ms
		return id
	}
	older, root, heir := holder(), holder(), holder()
	_, stranger := run(t, nil, "sleep", "600")
	q := process.Query{Roots: []process.Identity{root}, WithRoots: true}
	if ids, err := process.Find(q); err != nil || len(ids) != 1 {
		t.Errorf("without a look at sockets: %v, %v", ids, err)
	}
	q.Sockets = &process.Sockets{}
	if n, err := process.End(t.Context(), q, 30*time.Second); err != nil || n != 2 {
		t.Errorf("End = %d, %v, want root and heir", n, err)
	}
	if root.Alive() || heir.Alive() || !older.Alive() || !stranger.Alive() {
		t.Errorf("alive: root %t, heir %t, older %t, stranger %t", root.Alive(), heir.Alive(), older.Alive(),
			stranger.Alive())
	}
}
