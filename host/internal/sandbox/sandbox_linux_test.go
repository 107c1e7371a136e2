package sandbox

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/elastic/go-seccomp-bpf/arch"
)

var update = flag.Bool("update", false, "write the table of docs/sandbox.md")

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Verb { // this process is the wrapper of a sandboxed program
		fmt.Fprintln(os.Stderr, Exec(os.Args[2:]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// program builds the program of testdata once for a test.
func program(t *testing.T, goarch string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "tries")
	build := exec.Command("go", "build", "-o", out, "./testdata/tries")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+goarch)
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the program: %v\n%s", err, text)
	}
	return out
}

// ground is what a sandboxed program may try to reach.
type ground struct {
	program, own string
	env          []string
	secret       string
}

func newGround(t *testing.T, program string) *ground {
	t.Helper()
	home, err := os.MkdirTemp("", "ghs") // short: sockets live in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	g := &ground{program: program, own: filepath.Join(home, "own"), secret: filepath.Join(home, "private", "secret")}
	file := filepath.Join(home, "given", "file")
	for _, p := range []string{file, g.secret, filepath.Join(g.own, "x")} {
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte("canary"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ears := map[string]string{"unix": filepath.Join(home, "ear"), "tcp": "127.0.0.1:0"}
	name := "gatehost-test-" + strconv.Itoa(os.Getpid())
	for network, address := range ears {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		ears[network] = l.Addr().String()
	}
	l, err := net.Listen("unix", "@"+name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	g.env = append(os.Environ(), "TRY_FILE="+file, "TRY_SECRET="+g.secret, "TRY_OWN="+g.own, "TRY_UNIX="+ears["unix"],
		"TRY_ABSTRACT="+name, "TRY_TCP="+ears["tcp"])
	// A process of the user that could be changed: it has no more capabilities than the program.
	sleep := g.begin(t, "/bin/sleep", Spec{Unfiltered: true}, "600")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = sleep.Process.Kill(), sleep.Wait() })
	g.env = append(g.env, "TRY_PID="+strconv.Itoa(sleep.Process.Pid))
	return g
}

// run lets the program try something in a sandbox, and returns the error of each try.
func (g *ground) run(t *testing.T, spec Spec, tries ...string) map[string]string {
	t.Helper()
	out, err := g.begin(t, g.program, spec, tries...).Output()
	var got map[string]string
	if err == nil {
		err = json.Unmarshal(out, &got)
	}
	if err != nil {
		t.Fatalf("the program said %q, %v", out, err)
	}
	return got
}

// begin prepares a program in a sandbox.
func (g *ground) begin(t *testing.T, program string, spec Spec, tries ...string) *exec.Cmd {
	t.Helper()
	spec.Read, spec.Write = append(spec.Read, filepath.Join(filepath.Dir(g.own), "given")), []string{g.own}
	args, err := spec.Args(program, tries)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env, cmd.ExtraFiles, cmd.Stderr, cmd.Dir = g.env, []*os.File{f}, os.Stderr, g.own
	return cmd
}

// needFilter fails where the sandbox is not whole: that such machines are told so is another test.
func needFilter(t *testing.T) {
	t.Helper()
	if here := Supported(); !here.OK() || !here.Filter {
		t.Fatalf("this kernel has %s; the tests of the sandbox need both", here)
	}
}

// TestEverySystemCallOfTheListIsRefused makes each call, with zeros.
func TestEverySystemCallOfTheListIsRefused(t *testing.T) {
	needFilter(t)
	info, err := arch.GetInfo("")
	if err != nil {
		t.Fatal(err)
	}
	g := newGround(t, program(t, runtime.GOARCH))
	names := []string{"clone3", "connect"}
	for _, group := range refused() {
		names = append(names, known(group)...)
	}
	want := map[string]string{"clone3": "function not implemented", "connect": "permission denied"}
	var tries []string
	for _, name := range names {
		tries = append(tries, fmt.Sprintf("%s=%d", name, info.SyscallNames[name]))
	}
	for n := newestCall; n < newestCall+20; n++ {
		name := fmt.Sprintf("call %d", n)
		tries, want[name] = append(tries, fmt.Sprintf("%s=%d", name, n)), "function not implemented"
	}
	if runtime.GOARCH == "amd64" {
		tries, want["x32"] = append(tries, "x32"), "function not implemented"
	}
	for _, name := range known(deadly()) { // each ends its process
		cmd := g.begin(t, g.program, Spec{}, fmt.Sprintf("%s=%d", name, info.SyscallNames[name]))
		if err := cmd.Run(); err == nil || err.Error() != "signal: bad system call" &&
			err.Error() != "signal: bad system call (core dumped)" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, got := range g.run(t, Spec{}, tries...) {
		w := want[name]
		if w == "" {
			w = "operation not permitted"
		}
		if got != w {
			t.Errorf("%s: %q, want %q", name, got, w)
		}
	}
}

// TestNamesOfTheListAreRight: one with a mistake would be skipped as a call that this architecture does not have.
func TestNamesOfTheListAreRight(t *testing.T) {
	for _, group := range append(slices.Collect(maps.Values(refused())), deadly()) {
		for _, name := range group {
			_, here := arch.X86_64.SyscallNames[name]
			if _, there := arch.AARCH64.SyscallNames[name]; !here && !there {
				t.Errorf("%q is a call of no architecture", name)
			}
		}
	}
}

func TestUsesOfCallsAreRefused(t *testing.T) {
	needFilter(t)
	g := newGround(t, program(t, runtime.GOARCH))
	refusedUses := []string{
		"limits of another", "own limits", "utimensat", "file_setattr", "user namespace by clone", "netlink", "vsock",
		"packet", "raw IP", "ping socket", "unix datagram", "unix raw", "pair of datagrams", "netlink by upper bits",
		"AF_INET by upper bits", "allocate too much",
	}
	without := []string{"tcp", "udp", "mptcp", "listen", "unix", "abstract"}
	fine := []string{"pair of streams", "unix listen", "child", "futimens", "fchmod"}
	for _, network := range []bool{false, true} {
		// the error of a refusal is the filter's and not the kernel's own, which it would be without capabilities
		got := g.run(t, Spec{Network: network}, slices.Concat(refusedUses, without, fine)...)
		for _, name := range refusedUses {
			if got[name] == "" {
				t.Errorf("network %v: %s was not refused", network, name)
			}
		}
		for _, name := range without {
			may := network && name != "mptcp" && name != "abstract" // mptcp is no use for which the network is given
			if (got[name] == "") != may {
				t.Errorf("network %v: %s: %q", network, name, got[name])
			}
		}
		for _, name := range fine {
			if got[name] != "" {
				t.Errorf("network %v: %s: %s", network, name, got[name])
			}
		}
	}
	if text, err := os.ReadFile(g.secret); err != nil || string(text) != "canary" {
		t.Errorf("the secret is %q, %v", text, err)
	}
}

// TestProgramsOfAnotherArchitectureDoNotRun: the numbers of their calls mean other calls.
func TestProgramsOfAnotherArchitectureDoNotRun(t *testing.T) {
	needFilter(t)
	other := map[string]string{"amd64": "386", "arm64": "arm"}[runtime.GOARCH]
	g := newGround(t, program(t, other))
	if err := exec.Command(g.program).Run(); err != nil {
		t.Logf("this kernel runs no program of %s at all: %v", other, err)
	}
	cmd := g.begin(t, g.program, Spec{})
	cmd.Stderr = nil
	if out, err := cmd.Output(); err == nil {
		t.Errorf("a program of %s ran: %s", other, out)
	}
}

func TestNoCapabilityIsLeft(t *testing.T) {
	g := newGround(t, program(t, runtime.GOARCH))
	if os.Geteuid() == 0 {
		g.env = append(g.env, "TRY_ROOT=1")
	}
	if got := g.run(t, Spec{}, "capabilities"); got["capabilities"] != "" {
		t.Errorf("left: %s", got["capabilities"])
	}
}

// TestMembersAreFoundWhereverTheyWent: in another session, and after their parent has ended.
func TestMembersAreFoundWhereverTheyWent(t *testing.T) {
	needFilter(t)
	g := newGround(t, program(t, runtime.GOARCH))
	const mark = 0x7a11_0001_0000_0001
	if got := g.run(t, Spec{Mark: mark}, "own limits"); got["own limits"] == "" {
		t.Error("it may change its mark")
	}
	cmd := g.begin(t, "/bin/sh", Spec{Mark: mark},
		"-c", "setsid sh -c 'sleep 300 & echo $!; exec sleep 300' & read x; exit")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 16)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	if err != nil {
		t.Fatal(err)
	}
	ours := func(m uint64) bool { return m == mark }
	if err := cmd.Process.Kill(); err != nil { // the leader alone
		t.Fatal(err)
	}
	_ = cmd.Wait()
	all := Members(ours)
	if len(all) != 2 || MarkOf(child) != mark || !slices.ContainsFunc(all, func(m Member) bool {
		return m.PID == child && m.RSS > 0 && m.Tasks == 1
	}) {
		t.Errorf("members = %+v, want two, %d among them", all, child)
	}
	if left := EndMembers(func(m uint64) bool { return m == mark+1 }, time.Second); left != 0 || len(Members(ours)) != 2 {
		t.Errorf("another mark ended them, or %d are left", left)
	}
	if left := EndMembers(ours, 10*time.Second); left != 0 || len(Members(ours)) != 0 {
		t.Errorf("%d are left", left)
	}
	if MarkOf(os.Getpid()) != 0 {
		t.Error("the test itself has a mark")
	}
}

// gapsPage is the page with the table.
const (
	gapsPage  = "../../../docs/sandbox.md"
	gapsBegin = "<!-- begin: what the kernel does not stop; written by `go test ./host/internal/sandbox -update` -->\n"
	gapsEnd   = "<!-- end -->\n"
)

// TestTableOfGapsIsWhatATryShows tries every gap at every level of landlock that this kernel has, with and without the
// filter, and with and without the network.
func TestTableOfGapsIsWhatATryShows(t *testing.T) {
	needFilter(t)
	g := newGround(t, program(t, runtime.GOARCH))
	gaps := AllGaps()
	var tries []string
	for _, gap := range gaps {
		tries = append(tries, gap.try)
	}
	here := Supported().Level
	for level := 1; level <= min(here, 7); level++ {
		for _, filtered := range []bool{true, false} {
			for _, network := range []bool{false, true} {
				got := g.run(t, Spec{Level: level, Unfiltered: !filtered, Network: network}, tries...)
				support := Support{Level: level, Filter: filtered}
				for _, gap := range gaps {
					if gap.unless == filterOrGrants && network {
						continue // it is given
					}
					if open := gap.open(support, network); open != (got[gap.try] == "") {
						t.Errorf("%s, network %v: %q is a gap: %v, but the try gave %q", support, network, gap.Text, open,
							got[gap.try])
					}
				}
				_ = os.WriteFile(g.secret, []byte("canary"), 0o600) // it may have been cut
			}
		}
	}
	if t.Failed() {
		return
	}
	page, err := os.ReadFile(gapsPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := bytes.Cut(page, []byte(gapsBegin))
	_, after, ended := bytes.Cut(rest, []byte(gapsEnd))
	if !begun || !ended {
		t.Fatalf("%s has no place for the table", gapsPage)
	}
	want := slices.Concat(before, []byte(gapsBegin+gapTable()+gapsEnd), after)
	if *update {
		err = os.WriteFile(gapsPage, want, 0o644)
	} else if !bytes.Equal(page, want) {
		t.Errorf("%s is not what was tried: run `go test ./host/internal/sandbox -update`", gapsPage)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// gapTable returns the table, in Markdown.
func gapTable() string {
	var out strings.Builder
	out.WriteString("\n| a plugin in the sandbox can still | where |\n|---|---|\n")
	for _, g := range AllGaps() {
		where := "everywhere"
		if g.below > 0 {
			linux := map[int]string{3: "6.2", 4: "6.7", 6: "6.12"}[g.below]
			where = fmt.Sprintf("below landlock ABI %d (Linux %s)", g.below, linux)
		}
		if g.unless != nothing {
			also := map[stop]string{
				byFilter: "without seccomp", filterNoGrant: "with `network = true`, or without seccomp",
				filterOrGrants: "without seccomp",
			}[g.unless]
			if g.below > 0 {
				where += " and " + also
			} else {
				where = also
			}
		}
		fmt.Fprintf(&out, "| %s | %s |\n", g.Text, where)
	}
	out.WriteString("| do all that your user can: there is no sandbox, and `plugin info` says so | no landlock; macOS, " +
		"Windows |\n\n")
	return out.String()
}
