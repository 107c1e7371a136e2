//go:build linux

package peer

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/shim"
)

// The test's own program is also the other end: roleVar says what it does.
const (
	roleVar = "PEER_TEST_ROLE" // listen; wrap: start one that listens; leave: start one that listens, and end
	uidVar  = "PEER_TEST_UID"  // become this user first
)

func TestMain(m *testing.M) {
	var err error
	if uid, aerr := strconv.Atoi(os.Getenv(uidVar)); aerr == nil {
		err = errors.Join(syscall.Setgroups(nil), syscall.Setgid(uid), syscall.Setuid(uid))
	}
	role := os.Getenv(roleVar)
	if err == nil && role != "" {
		err = play(role)
	}
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case role == "":
		os.Exit(m.Run())
	}
}

func play(role string) error {
	if role == "listen" {
		l, err := net.Listen("tcp", os.Args[1])
		if err != nil {
			return err
		}
		fmt.Println(os.Getpid(), l.Addr())
		go func() {
			for {
				if _, err := l.Accept(); err != nil { // kept open as long as this program lives
					return
				}
			}
		}()
		_, _ = io.Copy(io.Discard, os.Stdin)
		return nil
	}
	next := "listen"
	if role == "wrap-leave" {
		next = "leave"
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), roleVar+"="+next)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	if role == "leave" {
		return nil
	}
	err := cmd.Wait()
	_, _ = io.Copy(io.Discard, os.Stdin) // the root of a tree whose other members left it
	return err
}

// program is another process that listens.
type program struct {
	root, pid int
	address   string
}

// run starts one in a role, with more environment, on an address.
func run(t *testing.T, role, address string, env ...string) program {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, address, "--token", "canary")
	cmd.Env, cmd.Stderr = append(append(os.Environ(), roleVar+"="+role), env...), os.Stderr
	in, err := cmd.StdinPipe()
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
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	p := program{root: cmd.Process.Pid}
	line, err := bufio.NewReader(out).ReadString('\n')
	if _, serr := fmt.Sscan(line, &p.pid, &p.address); err != nil || serr != nil {
		t.Fatalf("the program said %q: %v", line, errors.Join(err, serr))
	}
	return p
}

func connect(t *testing.T, address string) net.Conn {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	host := "127.0.0.1"
	if strings.HasPrefix(address, "[::1]") {
		host = "::1"
	}
	conn, err := net.Dial("tcp", net.JoinHostPort(host, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func prove(t *testing.T, r Rule, conn net.Conn) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return r.Prove(ctx, conn)
}

func TestProcessesOfTheLaunchAreProvedAndOthersOfOurUserAreNot(t *testing.T) {
	mark := shim.EnvMark + "=peer-test:1:2"
	for _, row := range []struct{ name, role, address string }{
		{"the launched process", "listen", "127.0.0.1:0"},
		{"on all addresses of both families", "listen", ":0"},
		{"on the loopback of IPv6", "listen", "[::1]:0"},
		{"behind a wrapper", "wrap", "127.0.0.1:0"},
		{"a daemon that left the tree and has its mark", "wrap-leave", "127.0.0.1:0"},
	} {
		t.Run(row.name, func(t *testing.T) {
			launch := run(t, row.role, row.address, mark)
			if err := prove(t, Rule{Launch: launch.root}, connect(t, launch.address)); err != nil {
				t.Errorf("the launch's own: %v", err)
			}
			if err := prove(t, Rule{}, connect(t, launch.address)); err != nil {
				t.Errorf("our own user, to attach: %v", err)
			}
			other := run(t, "listen", "127.0.0.1:0")
			err := prove(t, Rule{Launch: launch.root}, connect(t, other.address))
			s, ok := errors.AsType[*Stranger](err)
			if !ok || s.Owner.PID != other.pid || s.Owner.UID != os.Geteuid() || !s.Owner.Own ||
				s.Owner.User == "" || !strings.Contains(s.Owner.Command, "127.0.0.1:0 --token [redacted]") {
				t.Errorf("another program of our user: %v", err)
			}
		})
	}
}

func TestLaunchThatHasEndedProvesNothing(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	other := run(t, "listen", "127.0.0.1:0")
	err := prove(t, Rule{Launch: cmd.Process.Pid}, connect(t, other.address))
	if _, ok := errors.AsType[*Stranger](err); !ok {
		t.Errorf("error = %v, want a stranger", err)
	}
}

// anothersUID is a user that is not ours.
const anothersUID = 65534

func TestProgramOfAnotherUserIsAStranger(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	other := run(t, "listen", "127.0.0.1:0", uidVar+"="+strconv.Itoa(anothersUID))
	launch := run(t, "listen", "127.0.0.1:0")
	for name, r := range map[string]Rule{
		"to attach": {}, "root trusted": {Trust: TrustRoot}, "beside a launch": {Launch: launch.root},
	} {
		s, ok := errors.AsType[*Stranger](prove(t, r, connect(t, other.address)))
		if !ok || s.Owner.UID != anothersUID || s.Owner.PID != other.pid || s.Owner.Own ||
			!strings.Contains(s.Owner.String(), "(uid 65534)") {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if err := prove(t, Rule{Trust: TrustAny}, connect(t, other.address)); err != nil {
		t.Errorf("all trusted: %v", err)
	}
	// a launch that gave up its rights, as a wrapper does that changes the user
	if err := prove(t, Rule{Launch: other.root}, connect(t, other.address)); err != nil {
		t.Errorf("a launch of another user: %v", err)
	}
}

// TestUnprivilegedHostNamesTheUserOfAStranger looks at root's and its own sockets as another user does.
func TestUnprivilegedHostNamesTheUserOfAStranger(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	conn := connect(t, l.Addr().String())
	served, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = served.Close() }()
	sys := kernel{proc: "/proc", uid: anothersUID, tree: treeOf}
	s, ok := errors.AsType[*Stranger](Rule{}.prove(t.Context(), conn, sys))
	if !ok || s.Owner.UID != 0 || s.Owner.User != "root" || s.Owner.Own {
		t.Errorf("stranger = %+v", s)
	}
	if err := (Rule{Trust: TrustRoot}).prove(t.Context(), conn, sys); err != nil {
		t.Errorf("root, trusted: %v", err)
	}
}

func TestConnectionThatIsNotAcceptedProvesNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	conn := connect(t, l.Addr().String())
	for _, trust := range []Trust{TrustOwn, TrustRoot} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if err := (Rule{Trust: trust}).Prove(ctx, conn); !errors.Is(err, ErrNotAccepted) {
			t.Errorf("trust %q: error = %v, want that it was not accepted", trust, err)
		}
		cancel()
	}
	proved := make(chan error, 1)
	go func() { proved <- prove(t, Rule{}, conn) }()
	served, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := <-proved; err != nil {
		t.Errorf("after it was accepted: %v", err)
	}
	_ = served.Close()
	if err := prove(t, Rule{}, conn); !errors.Is(err, ErrClosed) {
		t.Errorf("after it was closed: %v", err)
	}
}

// fakeProc is a /proc with tables, and processes with sockets.
func fakeProc(t *testing.T, tables map[string]string, sockets map[int][]uint64) kernel {
	t.Helper()
	dir := t.TempDir()
	write := func(name, content string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const titles = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	for name, rows := range tables {
		write("net/"+name, titles+rows)
	}
	for pid, inodes := range sockets {
		write(fmt.Sprintf("%d/comm", pid), "x")
		for i, inode := range inodes {
			path := filepath.Join(dir, strconv.Itoa(pid), "fd")
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(fmt.Sprintf("socket:[%d]", inode), filepath.Join(path, strconv.Itoa(i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	return kernel{proc: dir, uid: 1000, tree: func(launch int) ([]int, error) { return []int{launch, launch + 1}, nil }}
}

// line is a row of a table; addresses are those of a kernel.
func line(local, remote, state string, uid int, inode uint64) string {
	return fmt.Sprintf("   0: %s %s %s 00000000:00000000 00:00000000 00000000  %4d        0 %d 1 0000000000000000 20 4\n",
		local, remote, state, uid, inode)
}

func TestRowOfTheOtherEndIsFound(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Log("the addresses below are those of a little-endian machine")
		return
	}
	const (
		server, client   = "0100007F:4965", "0100007F:9C40" // 127.0.0.1, ports 18789 and 40000
		server6, client6 = "0000000000000000FFFF00000100007F:4965", "0000000000000000FFFF00000100007F:9C40"
		any4, any6       = "00000000:4965", "00000000000000000000000000000000:4965"
		none             = "00000000:0000"
		other            = "0100007F:9C41"
	)
	ours := line(client, server, "01", 1000, 5)
	heir := &end{uid: 1001, inode: 9}
	for _, row := range []struct {
		name      string
		tcp, tcp6 string
		want      sight
	}{
		{
			"accepted", ours + line(server, client, "01", 1001, 6), "",
			sight{stage: accepted, end: end{uid: 1001, inode: 6}},
		},
		{
			"ours", ours + line(server, client, "01", 1000, 6), "",
			sight{stage: accepted, end: end{uid: 1000, inode: 6, own: true}},
		},
		{
			"root's", ours + line(server, client, "01", 0, 6), "",
			sight{stage: accepted, end: end{inode: 6, root: true}},
		},
		{
			"mapped", ours, line(server6, client6, "01", 1001, 6),
			sight{stage: accepted, end: end{uid: 1001, inode: 6}},
		},
		{
			"another connection of that port", ours + line(server, other, "01", 7, 7) + line(server, client, "01", 1001, 6), "",
			sight{stage: accepted, end: end{uid: 1001, inode: 6}},
		},
		{"only another connection", ours + line(server, other, "01", 7, 7), "", sight{stage: absent}},
		{"our own row is not the peer's", ours, "", sight{stage: absent}},
		// before 6.16 a socket without a process has the uid of root
		{"not accepted", ours + line(server, client, "01", 0, 0), "", sight{stage: waiting}},
		{
			"not accepted, and a listener", line(server, none, "0A", 1001, 9) + ours + line(server, client, "01", 0, 0), "",
			sight{stage: waiting, heir: heir},
		},
		{
			"a listener for all addresses", line(any4, none, "0A", 1001, 9) + ours + line(server, client, "03", 0, 0), "",
			sight{stage: waiting, heir: heir},
		},
		{
			"the nearer listener", line(server, none, "0A", 1001, 9) + line(any4, none, "0A", 7, 7) + ours +
				line(server, client, "01", 0, 0), "", sight{stage: waiting, heir: heir},
		},
		{
			"a listener of both families", ours, line(any6, none, "0A", 1001, 9) + line(server6, client6, "01", 0, 0),
			sight{stage: waiting, heir: heir},
		},
		{"closed and forgotten", line(client, server, "08", 1000, 5), "", sight{stage: closed}},
		{
			"closed by its process", line(client, server, "08", 1000, 5) + line(server, client, "05", 0, 0), "",
			sight{stage: closed},
		},
		{"in TIME_WAIT", line(server, client, "06", 0, 0), "", sight{stage: closed}},
		{
			"a table of nonsense", "x\n\n0: 1 2\n" + line("", "", "", 0, 0) + "0: a b 01 0 0 0 -1 0 x\n", "",
			sight{stage: absent},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			tables := map[string]string{"tcp": row.tcp}
			if row.tcp6 != "" { // else the kernel has no IPv6
				tables["tcp6"] = row.tcp6
			}
			c := tuple{netip.MustParseAddrPort("127.0.0.1:40000"), netip.MustParseAddrPort("127.0.0.1:18789")}
			got, err := fakeProc(t, tables, nil).look(t.Context(), c)
			if err != nil || got.stage != row.want.stage || got.end != row.want.end ||
				(got.heir == nil) != (row.want.heir == nil) || got.heir != nil && *got.heir != *row.want.heir {
				t.Errorf("got %+v, %v, want %+v", got, err, row.want)
			}
		})
	}
}

func TestAddressesAreWrittenAsTheKernelWritesThem(t *testing.T) {
	for _, row := range []struct {
		addr string
		six  bool
		want string // of a little-endian machine
		ok   bool
	}{
		{"127.0.0.1:18789", false, "0100007F:4965", true},
		{"10.1.2.3:80", false, "0302010A:0050", true},
		{"127.0.0.1:1", true, "0000000000000000FFFF00000100007F:0001", true},
		{"[::1]:1", true, "00000000000000000000000001000000:0001", true},
		{"[::1]:1", false, "", false},
	} {
		got, ok := column(netip.MustParseAddrPort(row.addr), row.six)
		if ok != row.ok || binary.NativeEndian.Uint16([]byte{1, 0}) == 1 && got != row.want {
			t.Errorf("%s: %s, %v", row.addr, got, ok)
		}
	}
}

func TestTablesThatCannotBeReadAreErrors(t *testing.T) {
	c := tuple{netip.MustParseAddrPort("127.0.0.1:40000"), netip.MustParseAddrPort("127.0.0.1:18789")}
	none := kernel{proc: t.TempDir()}
	if _, err := none.look(t.Context(), c); !errors.Is(err, ErrUnknown) {
		t.Errorf("no tables: %v", err)
	}
	dir := fakeProc(t, map[string]string{"tcp/x": ""}, nil)
	if _, err := dir.look(t.Context(), c); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("a directory in place of a table: %v, want an error that is tried again", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	full := fakeProc(t, map[string]string{"tcp": line("a", "b", "01", 1, 1)}, nil)
	if _, err := full.look(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := denied(&fs.PathError{Err: syscall.EACCES}); !errors.Is(err, ErrUnknown) {
		t.Errorf("no right to read: %v", err)
	}
	if err := denied(syscall.EMFILE); errors.Is(err, ErrUnknown) {
		t.Errorf("no descriptors left: %v", err)
	}
}

func TestSocketBelongsToTheTreeThatHoldsIt(t *testing.T) {
	me := os.Geteuid() // owns the files of the fake processes
	for _, row := range []struct {
		name    string
		sockets map[int][]uint64
		end     end
		want    bool
	}{
		{"the launched process", map[int][]uint64{5: {1, 6}}, end{uid: me, inode: 6}, true},
		{"a descendant", map[int][]uint64{5: {1}, 6: {2, 6}}, end{uid: me, inode: 6}, true},
		{"a process beside it", map[int][]uint64{5: {1}, 7: {6}}, end{uid: me, inode: 6}, false},
		{"no process", map[int][]uint64{5: {1}}, end{uid: me, inode: 6}, false},
		{"a socket that a process of another user accepted", map[int][]uint64{5: {6}}, end{uid: me + 1, inode: 6}, false},
		{"the same of a descendant", map[int][]uint64{5: {1}, 6: {6}}, end{uid: me + 1, inode: 6}, false},
		{"accepted under our own user", map[int][]uint64{5: {6}}, end{uid: me + 1, inode: 6, own: true}, true},
		{"another number with the same beginning", map[int][]uint64{5: {66}}, end{uid: me, inode: 6}, false},
	} {
		got, err := fakeProc(t, nil, row.sockets).holds(t.Context(), 5, row.end)
		if got != row.want || err != nil {
			t.Errorf("%s: %v, %v", row.name, got, err)
		}
	}
	broken := fakeProc(t, nil, nil)
	broken.tree = func(int) ([]int, error) { return nil, syscall.EIO }
	if got, err := broken.holds(t.Context(), 5, end{inode: 6}); got || !errors.Is(err, ErrUnknown) {
		t.Errorf("a tree that cannot be read: %v, %v", got, err)
	}
}

// TestDescriptorsThatMayNotBeReadAreNoProof runs as another user when we are root, who may read everything.
func TestDescriptorsThatMayNotBeReadAreNoProof(t *testing.T) {
	if os.Geteuid() == 0 {
		cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), uidVar+"="+strconv.Itoa(anothersUID))
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Errorf("as another user: %v\n%s", err, out)
		}
		return
	}
	k := fakeProc(t, nil, map[int][]uint64{5: {6}})
	path := filepath.Join(k.proc, "5", "fd")
	t.Cleanup(func() { _ = os.Chmod(path, 0o700) }) //nolint:gosec // so that it can be removed
	for _, mode := range []os.FileMode{0, 0o400} {  // 0400: the numbers may be read, and not what they are
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		got, err := k.holds(t.Context(), 5, end{uid: os.Geteuid(), inode: 6})
		if got || !errors.Is(err, ErrUnknown) {
			t.Errorf("mode %o: got %v, %v, want that it is unknown", mode, got, err)
		}
	}
	if got, err := k.holds(t.Context(), 5, end{uid: os.Geteuid() + 1, inode: 6}); got || err != nil {
		t.Errorf("a socket of another user: %v, %v, want a stranger", got, err)
	}
}

func TestOwnerIsFoundAmongManyProcesses(t *testing.T) {
	sockets := map[int][]uint64{}
	for pid := 100; pid < 100+3*namesAtOnce; pid++ {
		sockets[pid] = nil
		if pid%100 == 0 {
			sockets[pid] = []uint64{uint64(pid)} //nolint:gosec // small
		}
	}
	k := fakeProc(t, nil, sockets)
	for pid, own := range sockets {
		if own == nil {
			continue
		}
		if o := k.owner(t.Context(), end{uid: 7, inode: own[0]}); o.PID != pid || o.UID != 7 {
			t.Errorf("owner of socket %d = %+v", own[0], o)
		}
	}
	if o := k.owner(t.Context(), end{uid: 7, inode: 1}); o.PID != 0 {
		t.Errorf("owner of a socket that no process has = %+v", o)
	}
}

func BenchmarkProve(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	served, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = served.Close() }()
	for name, r := range map[string]Rule{"attach": {}, "launch": {Launch: os.Getpid()}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Prove(b.Context(), conn); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
