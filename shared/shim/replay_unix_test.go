//go:build unix

package shim_test

import (
	"bufio"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/internal/shimreplay"
	"github.com/gatehost/gatehost/shared/shim"
)

func init() { roles[shimreplay.Role] = shimreplay.Main } //nolint:gochecknoinits // before TestMain

// recordings are the shims of earlier releases that hosts may meet.
var recordings = []string{"v1"} //nolint:gochecknoglobals // a constant

// playOld starts a process that behaves as a recorded shim.
func playOld(t *testing.T, p place, o shimreplay.Options) string {
	t.Helper()
	o.Runtime, o.Bundle = p.dir, p.bundle(shimreplay.LaunchID)
	recording, err := filepath.Abs(filepath.Join("testdata", o.Recording))
	if err != nil {
		t.Fatal(err)
	}
	o.Recording = recording
	cmd, err := shimreplay.Command(o)
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
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
	line, err := bufio.NewReader(out).ReadString('\n')
	go func() { // its zombie would not be gone
		defer close(reaped)
		_ = cmd.Wait()
	}()
	if err != nil || line != "ready\n" {
		t.Fatalf("player said %q, %v", line, err)
	}
	return o.Bundle
}

func TestAGatewayOfAnOldShimIsAdopted(t *testing.T) {
	if path := os.Getenv("SHIM_TEST_RECORD"); path != "" {
		to := os.Getenv("SHIM_TEST_RECORD_TO")
		if err := shimreplay.Record(deadline(t), path, filepath.Join("testdata", to)); err != nil {
			t.Fatalf("cannot record %s: %v", to, err)
		}
	}
	for _, version := range recordings {
		for name, future := range map[string]bool{
			version: false,
			version + " with fields and items of the future": true,
		} {
			t.Run(name, func(t *testing.T) { adoptOld(t, shimreplay.Options{Recording: version, Future: future}) })
		}
	}
}

func adoptOld(t *testing.T, o shimreplay.Options) {
	t.Helper()
	p := newPlace(t)
	dir := playOld(t, p, o)
	b, err := shim.OpenBundle(dir)
	if err != nil || b.Status != shim.StatusRunning || b.Spec.Labels["gatehost.gateway"] != shimreplay.Gateway {
		t.Fatalf("bundle = %+v, %v", b, err)
	}
	c, err := shim.Connect(deadline(t), dir)
	if err != nil {
		t.Fatalf("Connect: %v", err)
	}
	defer c.Close()
	state, err := c.State(deadline(t))
	if err != nil || state.Phase != shim.PhaseRunning || state.Gateway != b.State.Gateway || state.OutputEnd == 0 ||
		state.Labels["recorded"] != "yes" {
		t.Errorf("State = %+v, %v", state, err)
	}
	if err := c.Signal(deadline(t), "SIGCONT"); err != nil {
		t.Errorf("Signal: %v", err)
	}
	if err := c.Signal(deadline(t), "SIGNONE"); !errors.Is(err, shim.ErrBadSignal) {
		t.Errorf("Signal of none = %v", err)
	}
	if err := c.Release(deadline(t)); !errors.Is(err, shim.ErrRunning) {
		t.Errorf("Release = %v, want a refusal", err)
	}
	peek := newTally()
	if err := c.Output(deadline(t), 0, false, shim.CutLines(0, peek.item)); err != nil || peek.end == nil ||
		!peek.end.Running || peek.last != shimreplay.ReadyLine {
		t.Errorf("output so far: %v, end %+v, last line %q", err, peek.end, peek.last)
	}

	follower := newTally()
	followed := make(chan error, 1)
	go func() { followed <- c.Output(deadline(t), 0, true, shim.CutLines(0, follower.item)) }()
	<-follower.beaten
	stopped, err := c.Stop(deadline(t), patience)
	if err != nil || stopped.Exit.Code != shimreplay.ExitCode || !stopped.Exit.Durable || stopped.Killed {
		t.Errorf("Stop = %+v, %v", stopped, err)
	}
	if err := <-followed; err != nil {
		t.Errorf("Output: %v", err)
	}
	follower.check(t, "followed")
	late := newTally()
	if err := c.Output(deadline(t), 0, true, shim.CutLines(0, late.item)); err != nil {
		t.Errorf("Output after the end: %v", err)
	}
	late.check(t, "late")
	if err := c.Release(deadline(t)); err != nil {
		t.Fatalf("Release: %v", err)
	}
	if b, err = shim.OpenBundle(dir); err != nil || b.Status != shim.StatusEnded || b.Exit.Code != shimreplay.ExitCode {
		t.Errorf("bundle = %+v, %v", b, err)
	}
	offline := newTally()
	if err := b.Output(deadline(t), 0, shim.CutLines(0, offline.item)); err != nil {
		t.Errorf("output from disk: %v", err)
	}
	offline.check(t, "from disk")
	if err := shim.Remove(dir); err != nil {
		t.Errorf("Remove: %v", err)
	}
}

// tally counts what a reader of the recorded gateway's output sees.
type tally struct {
	lines  int
	lost   uint64 // bytes
	last   string
	end    *shim.End
	beaten chan struct{}
	beats  int
}

func newTally() *tally { return &tally{beaten: make(chan struct{})} }

func (l *tally) item(item shim.Item) error {
	switch item := item.(type) {
	case shim.Line:
		l.lines, l.last = l.lines+1, item.Text
	case shim.Gap:
		l.lost += item.Bytes()
	case shim.Heartbeat:
		if l.beats++; l.beats == 1 {
			close(l.beaten)
		}
	case shim.End:
		l.end = &item
	}
	return nil
}

func (l *tally) check(t *testing.T, who string) {
	t.Helper()
	const all = shimreplay.FloodLines*uint64(len(shimreplay.FloodLine)+1) +
		uint64(len(shimreplay.ReadyLine)+len(shimreplay.LastLine)+2)
	if l.lost == 0 || l.lines < 2 || l.last != shimreplay.LastLine || l.end == nil || l.end.Exit == nil ||
		l.end.Exit.Code != shimreplay.ExitCode || l.end.EndOffset != all {
		t.Errorf("%s: %d lines, the last is %q, %d bytes lost, end %+v; want output to %d", who, l.lines, l.last,
			l.lost, l.end, all)
	}
}

func TestAShimThatSpeaksNoVersionOfOursIsExplained(t *testing.T) {
	p := newPlace(t)
	dir := playOld(t, p, shimreplay.Options{Recording: "v1", Refuse: true})
	_, err := shim.Connect(deadline(t), dir)
	if !errors.Is(err, shim.ErrVersion) || errors.Is(err, shim.ErrShimGone) ||
		!strings.Contains(err.Error(), "speaks protocol version") {
		t.Errorf("Connect = %v, want ErrVersion in words", err)
	}
	b, err := shim.OpenBundle(dir) // it must not be taken for dead
	if err != nil || b.Status != shim.StatusRunning {
		t.Errorf("bundle = %+v, %v", b, err)
	}
	if _, err := b.StopUnwatched(deadline(t), 0); !errors.Is(err, shim.ErrRunning) {
		t.Errorf("StopUnwatched = %v, want a refusal", err)
	}
}

// talk makes a connection to a real shim, as a client of any age would.
func talk(t *testing.T, socket string, hello any) (net.Conn, shim.Response) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(deadline(t), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, say(t, conn, hello)
}

func say(t *testing.T, conn net.Conn, request any) shim.Response {
	t.Helper()
	if err := shim.WriteFrame(conn, request, []byte("a payload that was not asked for")); err != nil {
		t.Fatal(err)
	}
	var answer shim.Response
	if _, err := shim.ReadFrame(conn, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestAShimUnderstandsClientsOfAllAges(t *testing.T) {
	p := newPlace(t)
	s := start(t, p.options("ages", "sleep", "600"))
	secret, err := shim.ReadSecret(s.Bundle.Dir)
	if err != nil {
		t.Fatal(err)
	}
	conn, answer := talk(t, s.State.Socket, map[string]any{
		"op": "hello", "versions": []int{1, 2, 99}, "secret": secret,
		"of_the_future": map[string]int{"x": 1},
	})
	if answer.Error != nil || answer.Version != 1 || answer.State == nil {
		t.Fatalf("hello of 1, 2 and 99 = %+v", answer)
	}
	if answer := say(t, conn, map[string]any{"op": "of-the-future", "deep": []int{1}}); answer.Error == nil ||
		answer.Error.Code != shim.CodeUnsupported {
		t.Errorf("unknown op = %+v", answer)
	}
	if answer := say(t, conn, map[string]any{"op": "state", "of_the_future": true}); answer.State == nil ||
		answer.State.Gateway != s.State.Gateway {
		t.Errorf("state with an unknown field, after an unknown op = %+v", answer)
	}
	for _, versions := range [][]int{{2, 99}, {}} {
		_, answer := talk(t, s.State.Socket, shim.Request{Op: shim.OpHello, Versions: versions})
		if answer.Error == nil || !errors.Is(answer.Error, shim.ErrVersion) ||
			!strings.Contains(answer.Error.Message, "it speaks protocol version 1") {
			t.Errorf("hello of %v = %+v", versions, answer)
		}
	}
}
