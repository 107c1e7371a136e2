//go:build unix

package shim_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/shared/shim"
)

// request runs a shim that reads text, and returns its report and its exit code.
func request(t *testing.T, text []byte) (shim.StartReport, int) {
	t.Helper()
	cmd := exec.CommandContext(deadline(t), shimPath, "run", "x")
	cmd.Stdin = bytes.NewReader(text)
	out, err := cmd.Output()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		t.Fatal(err)
	}
	var report shim.StartReport
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("report %q: %v", out, err)
	}
	return report, cmd.ProcessState.ExitCode()
}

func TestWhatIsNoLaunchRequestIsRefused(t *testing.T) {
	p := newPlace(t)
	marker := filepath.Join(p.dir, "marker")
	encode := func(change func(*shim.StartRequest)) []byte {
		o := p.options("one", "touch", marker)
		req := shim.StartRequest{Version: shim.ProtocolVersion, BundleDir: o.BundleDir, Spec: o.Spec}
		change(&req)
		text, err := json.Marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, row := range []struct {
		name, text string
		code       shim.Code
		want       string
	}{
		{"nothing", "", shim.CodeInvalid, "not JSON"},
		{"no JSON", `{"spec":{"env":"canary-in-a-request`, shim.CodeInvalid, "not JSON"},
		{"too long", strings.Repeat(" ", 8<<20) + "{}", shim.CodeInvalid, "is larger than 8388608 bytes"},
		{
			"of another version", string(encode(func(r *shim.StartRequest) { r.Version = 2 })), shim.CodeVersion,
			"version 2, this shim speaks 1",
		},
		{
			"without a program", string(encode(func(r *shim.StartRequest) { r.Spec.Argv = nil })), shim.CodeInvalid,
			"argv is empty",
		},
		{
			"without a bundle",
			string(encode(func(r *shim.StartRequest) { r.BundleDir = filepath.Join(p.dir, "none", "one") })),
			shim.CodeInternal, "no such file",
		},
	} {
		report, code := request(t, []byte(row.text))
		if f := report.Failure; f == nil || f.Code != row.code || !strings.Contains(f.Message, row.want) || code != 1 ||
			report.Already || report.State != nil || strings.Contains(f.Message, "canary") {
			t.Errorf("%s: %+v, exit code %d", row.name, report, code)
		}
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("something was launched")
	}
}

// TestShimOfAUsedLaunchLeavesIt: two hosts may start one at the same time, or a host may come back.
func TestShimOfAUsedLaunchLeavesIt(t *testing.T) {
	p := newPlace(t)
	o := p.options("used", "sleep", "600")
	s := start(t, o)
	encode := func(spec shim.Spec) []byte {
		text, err := json.Marshal(shim.StartRequest{
			Version: shim.ProtocolVersion, BundleDir: o.BundleDir, Spec: spec,
		})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if report, code := request(t, encode(o.Spec)); !report.Already || report.Failure != nil || code != 0 {
		t.Errorf("while it runs: %+v, exit code %d", report, code)
	}
	if _, err := s.Client.Stop(deadline(t), 0); err != nil {
		t.Fatal(err)
	}
	if err := s.State.Shim.Signal(9); err != nil {
		t.Fatal(err)
	}
	waitGone(t, s.State.Shim)
	if report, code := request(t, encode(o.Spec)); !report.Already || report.Failure != nil || code != 0 {
		t.Errorf("after its end: %+v, exit code %d", report, code)
	}
	changed := o.Spec
	changed.Argv = []string{"sleep", "601"}
	if report, code := request(t, encode(changed)); report.Failure == nil ||
		report.Failure.Code != shim.CodeMismatch || code != 1 {
		t.Errorf("with another spec: %+v, exit code %d", report, code)
	}
	failed := p.options("failed", "/nonexistent/program")
	if _, err := shim.Start(deadline(t), failed); err == nil {
		t.Fatal("a missing program was launched")
	}
	b, err := shim.OpenBundle(failed.BundleDir)
	if err != nil || b.State == nil {
		t.Fatalf("%+v, %v", b, err)
	}
	waitGone(t, b.State.Shim)
	o = failed
	if report, code := request(t, encode(o.Spec)); !report.Already || report.Failure != nil || code != 0 {
		t.Errorf("after a failure: %+v, exit code %d", report, code)
	}
}

// TestOrderlyLaunchIsLoggedInTwoLines: shim.log is where an operator looks after something went wrong.
func TestOrderlyLaunchIsLoggedInTwoLines(t *testing.T) {
	p := newPlace(t)
	o := p.options("orderly", "sleep", "600")
	s := start(t, o)
	if _, err := s.Client.Stop(deadline(t), patience); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(o.BundleDir, shim.LogFile))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, " goes on without a control group: cannot make") { // here none can be made
			_, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			lines = append(lines, rest)
		}
	}
	if len(lines) != 2 || lines[0] != "stopping, grace 30s" ||
		!strings.HasPrefix(lines[1], `gateway ended: code -1 signal "SIGTERM"`) {
		t.Errorf("log:\n%s", text)
	}
}

// TestFailedLaunchLeavesNoSocket: nothing listens there.
func TestFailedLaunchLeavesNoSocket(t *testing.T) {
	p := newPlace(t)
	junk := filepath.Join(p.dir, "junk")
	if err := os.WriteFile(junk, []byte("\x00junk"), 0o700); err != nil {
		t.Fatal(err)
	}
	o := p.options("failed", junk)
	if _, err := shim.Start(deadline(t), o); !errors.Is(err, shim.ErrInvalidSpec) {
		t.Fatalf("Start = %v", err)
	}
	b, err := shim.OpenBundle(o.BundleDir)
	if err != nil || b.State == nil {
		t.Fatalf("%+v, %v", b, err)
	}
	waitGone(t, b.State.Shim)
	if _, err := os.Lstat(o.Spec.Socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	if g := b.State.Group; g != nil {
		if _, err := os.Stat(g.Path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("control group %s is left: %v", g.Path, err)
		}
	}
}

func init() { roles["greet"] = greet } //nolint:gochecknoinits // before TestMain

// greet is another process that says hello to the shim at a socket, with its secret.
func greet() int {
	conn, err := net.Dial("unix", os.Args[2])
	if err != nil {
		fmt.Println(err)
		return 1
	}
	var answer shim.Response
	hello := shim.Request{Op: shim.OpHello, Versions: []int{shim.ProtocolVersion}, Secret: os.Args[3]}
	if err := shim.WriteFrame(conn, hello, nil); err == nil {
		if _, err := shim.ReadFrame(conn, &answer); err == nil && answer.State != nil {
			fmt.Print("answered")
			return 0
		}
	}
	fmt.Print("closed")
	return 0
}

// TestAnotherUserIsNoClient: even with the secret, and where the modes of directory and socket let it connect. Without
// root there is no other user to try it with.
func TestAnotherUserIsNoClient(t *testing.T) {
	p := newPlace(t)
	s := start(t, p.options("users", "sleep", "600"))
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(p.dir, "greet")
	if err := errors.Join(os.WriteFile(binary, self, 0o755), os.Chmod(binary, 0o755), os.Chmod(p.dir, 0o755),
		os.Chmod(s.State.Socket, 0o777)); err != nil { //nolint:gosec // so that the other user gets that far
		t.Fatal(err)
	}
	as := func(uid uint32) string {
		cmd := exec.CommandContext(deadline(t), binary, "greet", s.State.Socket, secretOf(t, s.Bundle.Dir))
		cmd.Dir = "/"
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	if got := as(uint32(os.Geteuid())); got != "answered" { //nolint:gosec // a uid
		t.Errorf("our own user: %s", got)
	}
	if os.Geteuid() != 0 {
		return
	}
	if got := as(65534); got != "closed" {
		t.Errorf("another user: %s", got)
	}
	text, err := os.ReadFile(filepath.Join(s.Bundle.Dir, shim.LogFile))
	if err != nil || strings.Count(string(text), "refused a connection of user 65534") != 1 ||
		strings.Count(string(text), "\n") != 1 && !strings.Contains(string(text), "without a control group") {
		t.Errorf("log: %s, %v", text, err)
	}
	if _, err := s.Client.State(deadline(t)); err != nil {
		t.Error(err)
	}
}

// TestLaunchWhoseCallerIsGoneGoesOn: the next caller finds it. A request that is none ends the shim all the same.
func TestLaunchWhoseCallerIsGoneGoesOn(t *testing.T) {
	p := newPlace(t)
	o := p.options("alone", "sleep", "600")
	text, err := json.Marshal(shim.StartRequest{Version: shim.ProtocolVersion, BundleDir: o.BundleDir, Spec: o.Spec})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(o.BundleDir, 0o700); err != nil {
		t.Fatal(err)
	}
	launch := func(text []byte) *exec.Cmd {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(deadline(t), shimPath, "run", "x")
		cmd.Stdin, cmd.Stdout = bytes.NewReader(text), w
		if err := errors.Join(r.Close(), cmd.Start(), w.Close()); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	if err := launch([]byte("no request")).Wait(); err == nil || err.Error() != "exit status 1" {
		t.Errorf("no request: %v", err)
	}
	cmd := launch(text)
	defer func() { _ = cmd.Wait() }()
	eventually(t, "the launch is served", func() bool {
		c, err := shim.Connect(deadline(t), o.BundleDir)
		if err != nil {
			return false
		}
		defer c.Close()
		_, err = c.Stop(deadline(t), 0)
		return err == nil && c.Release(deadline(t)) == nil
	})
	log, err := os.ReadFile(filepath.Join(o.BundleDir, shim.LogFile))
	if err != nil || !strings.Contains(string(log), "the caller did not read the report: ") {
		t.Errorf("log: %s, %v", log, err)
	}
}
