package pluginhost

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/shared/fault"
)

// TestWhoAnswersIsTheProcessOrOneOfItsGroup: the other end here is this process itself.
func TestWhoAnswersIsTheProcessOrOneOfItsGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ear, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ear.Close() }()
	dialed, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conn, ok := dialed.(*net.UnixConn)
	if !ok {
		t.Fatalf("%T", dialed)
	}
	// the group is led by a process that waits: this one need not lead its own
	for pid, ours := range map[int]bool{
		os.Getpid(): true, syscall.Getpgrp(): true, os.Getpid() + 1: false, 1 << 30: false,
	} {
		err := answers(conn, pid)
		if ours && err != nil {
			t.Errorf("process %d: %v", pid, err)
		}
		if !ours && (fault.CodeOf(err) != fault.PermissionDenied || !strings.Contains(err.Error(), "answers on its socket")) {
			t.Errorf("process %d: %v", pid, err)
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := answers(conn, os.Getpid()); err == nil {
		t.Error("a closed connection is proved")
	}
}
