//go:build unix

package launcherutility_test

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatehost/gatehost/internal/shimreplay"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
)

// A host that is new takes up a gateway whose shim has been running for months (see package shimreplay).
func TestAGatewayOfAnOldShimIsAdopted(t *testing.T) {
	p := newPlace(t)
	if err := os.MkdirAll(filepath.Join(p.dir, "s"), 0o700); err != nil {
		t.Fatal(err)
	}
	recording, err := filepath.Abs(filepath.Join("..", "..", "shared", "shim", "testdata", "v1"))
	if err != nil {
		t.Fatal(err)
	}
	cmd, err := shimreplay.Command(shimreplay.Options{
		Recording: recording, Runtime: filepath.Join(p.dir, "s"), Bundle: filepath.Join(p.run(), shimreplay.LaunchID),
	})
	if err != nil {
		t.Fatal(err)
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reaped := make(chan struct{})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-reaped
	})
	line, err := bufio.NewReader(said).ReadString('\n')
	go func() { // its zombie would not be gone
		defer close(reaped)
		_ = cmd.Wait()
	}()
	if err != nil || line != "ready\n" {
		t.Fatalf("player said %q, %v", line, err)
	}

	l := p.open(t)
	const id = shimreplay.LaunchID
	i := only(t, l)
	if i.Phase != launcher.PhaseRunning || i.Gateway != shimreplay.Gateway || i.ShimPID != cmd.Process.Pid ||
		i.Labels["recorded"] != "yes" {
		t.Errorf("List = %+v", i)
	}
	if got, err := l.Recover(deadline(t), id); err != nil || got.PID != i.PID || got.OutputEnd == 0 {
		t.Fatalf("Recover = %+v, %v", got, err)
	}
	if err := l.Signal(deadline(t), id, "SIGCONT"); err != nil {
		t.Errorf("Signal: %v", err)
	}
	if err := l.Signal(deadline(t), id, "SIGNONE"); !errors.Is(err, fault.ErrInvalidArgument) {
		t.Errorf("Signal of none = %v", err)
	}
	var s seen
	beaten := make(chan struct{})
	followed := make(chan error, 1)
	go func() {
		followed <- l.Output(deadline(t), launcher.OutputRequest{LaunchID: id, Follow: true},
			func(item launcher.OutputItem) error {
				_ = s.take(item)
				if _, ok := item.(*launcher.Heartbeat); ok && s.beats == 1 {
					close(beaten)
				}
				return nil
			})
	}()
	select {
	case <-beaten:
	case err := <-followed:
		t.Fatalf("Output ended early: %v", err)
	}
	if err := l.Release(deadline(t), id); !errors.Is(err, fault.ErrFailedPrecondition) {
		t.Errorf("Release = %v, want a refusal", err)
	}
	stopped, err := l.Stop(deadline(t), id, patience)
	if err != nil || stopped.Exit.Code != shimreplay.ExitCode || !stopped.Exit.Known || !stopped.Exit.Durable ||
		identity(i).Alive() {
		t.Errorf("Stop = %+v, %v", stopped, err)
	}
	if err := <-followed; err != nil {
		t.Errorf("Output: %v", err)
	}
	// This shim did not count lines: what a gap lost is not known, and nothing may pretend that it is.
	if len(s.gaps) != 1 || s.gaps[0].Bytes == 0 || s.gaps[0].ToLine != 0 || s.end == nil ||
		s.end.Exit.Code != shimreplay.ExitCode {
		t.Errorf("gaps %+v, end %+v", s.gaps, s.end)
	}
	if last := s.lines[len(s.lines)-1]; last.Text != shimreplay.LastLine || last.Cursor > s.end.EndCursor {
		t.Errorf("last line = %+v", last)
	}
	if rest := follow(t, l, id, s.lines[len(s.lines)-2].Cursor); len(rest.lines) != 1 ||
		rest.lines[0].Text != shimreplay.LastLine {
		t.Errorf("read again from the last line but one: %q", rest.texts())
	}
	if err := l.Release(deadline(t), id); err != nil {
		t.Fatalf("Release: %v", err)
	}
	<-reaped
	if _, err := l.Recover(deadline(t), id); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("Recover after Release = %v", err)
	}
}
