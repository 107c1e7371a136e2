package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-plugin/runner"

	"github.com/gatehost/gatehost/host/internal/sandbox"
)

// drainBound is how long the output of a dead plugin is still read: a grandchild may hold the pipe for ever (R5).
const drainBound = 200 * time.Millisecond

// process is a plugin's process, as go-plugin sees it. Its end is known by its pid alone.
type process struct {
	cmd   *exec.Cmd
	watch *sandbox.Watch // reports the files that it opens; nil: the kernel cannot report them
	mark  uint64         // of all of its processes; 0: they have none, as those of a launcher
	group *enclosure     // the control group of all of its processes; nil: there is none
	spare bool           // what it leaves when it ends is examined and not ended
	reach func(sandbox.Access)
	death *os.File // our end of its stdin: when it is closed, the plugin knows that the host is gone
	logs  *logs
	at    address

	done chan struct{} // closed when the pid has been waited for, and what it left was killed
	read chan struct{} // closed when its stderr has been read to the end
	// closed when no process holds the other ends of its stdout and stderr, which closePipes alone does not show
	drained chan struct{}
	mu      sync.Mutex // guards the four below
	started bool
	doomed  bool // killed before it was started
	closed  bool
	open    int           // how many of stdout and stderr a process may still write to
	drain   time.Duration // see drainBound
	outR    *os.File
	errR    *os.File
	toHost  *io.PipeReader // what go-plugin reads as stdout: the handshake, then nothing
	fromOut *io.PipeWriter
}

var _ runner.Runner = (*process)(nil)

// newProcess prepares a process; Start starts it. env is go-plugin's part of the environment, sockets is where the
// plugin may listen, o is common to all plugins.
func newProcess(s Spec, exe *executable, dir, sockets string, env []string, l *logs, o Options) (*process, error) {
	cmd, watch, mark, err := command(s, exe, dir, sockets, o)
	if err != nil {
		return nil, err
	}
	cmd.Env = append(environment(s, dir), env...)
	cmd.Dir = dir
	ownGroup(cmd)
	p := &process{
		cmd: cmd, watch: watch, mark: mark, spare: o.spare, logs: l, done: make(chan struct{}), read: make(chan struct{}),
		drained: make(chan struct{}), open: 2,
		drain: max(o.drain, drainBound),
	}
	p.toHost, p.fromOut = io.Pipe()
	p.group = enclose(mark, memoryOf(s))
	return p, nil
}

// Start runs it. The pipes are ours, so that cmd.Wait waits only for the pid.
func (p *process) Start(context.Context) (err error) {
	defer func() { //nolint:contextcheck // a kill has its own bound
		if err == nil {
			return
		}
		if p.watch != nil {
			p.watch.Close()
		}
		_ = p.group.end() // it is empty
	}()
	inR, inW, err := os.Pipe()
	if err != nil {
		return err
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return errors.Join(err, inR.Close(), inW.Close())
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		return errors.Join(err, inR.Close(), inW.Close(), outR.Close(), outW.Close())
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = inR, outW, errW
	p.death, p.outR, p.errR = inW, outR, errR
	err = p.begin()
	_, _, _ = inR.Close(), outW.Close(), errW.Close()
	if err != nil {
		p.closePipes()
		close(p.done)
		close(p.read)
		return err
	}
	go p.copyHandshake()
	go func() {
		defer close(p.read)
		p.emptied(p.logs.read(errR))
	}()
	go func() { //nolint:contextcheck // a kill has its own bound
		if !p.spare {
			awaitExit(p.cmd.Process.Pid) // its number belongs to no other process before Wait
			endGroup(p.cmd.Process.Pid)
			p.endMembers()
		}
		_ = p.cmd.Wait()
		close(p.done)
		time.AfterFunc(p.drain, p.closePipes)
	}()
	return nil
}

func (p *process) begin() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.doomed {
		return errors.New("the start was abandoned")
	}
	cmd, group, err := p.group.start(p.cmd)
	p.cmd, p.group = cmd, group
	if err != nil {
		return err
	}
	p.started = true
	if p.watch != nil {
		_ = p.watch.Child().Close()
		go p.watch.Run(p.reach) // until the plugin, and its children, have ended
	}
	return nil
}

// copyHandshake gives go-plugin the lines on stdout, in pieces that its scanner can take, and never blocks the plugin.
func (p *process) copyHandshake() {
	err := eachLine(p.outR, maxHandshake, func(line string) {
		if !isHandshake(line) { // its certificate is of no use to people
			p.logs.keep("stdout: " + p.logs.clean(line))
			p.logs.print(line)
		} else {
			p.at.heard(line)
		}
		_, _ = p.fromOut.Write([]byte(line + "\n")) // go-plugin reads until it is closed
	})
	_ = p.fromOut.Close()
	p.emptied(err)
}

// emptied is called when the reading of stdout or stderr ended. At the end of the file no process holds the other side;
// if we closed it, one may.
func (p *process) emptied(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !errors.Is(err, io.EOF) {
		return
	}
	if p.open--; p.open == 0 {
		close(p.drained)
	}
}

func isHandshake(line string) bool {
	return strings.HasPrefix(line, "1|") && strings.Count(line, "|") >= 4
}

func (p *process) closePipes() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	_, _, _ = p.death.Close(), p.outR.Close(), p.errR.Close()
	_ = p.fromOut.Close()
}

// closeStdin closes the death pipe: a plugin that keeps the contract ends by itself.
func (p *process) closeStdin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.death != nil && !p.closed {
		_ = p.death.Close()
	}
}

func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.started {
		return 0
	}
	return p.cmd.Process.Pid
}

// kill kills the whole group at once. After the pid was waited for it does nothing: the number may belong to another
// process by then.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doomed = true
	select {
	case <-p.done:
	default:
		if p.started {
			killGroup(p.cmd.Process)
		}
	}
}

// endMembers kills what the plugin left in other groups and sessions. A launcher leaves gateways there.
func (p *process) endMembers() {
	if p.mark == 0 {
		return
	}
	if n := sandbox.EndMembers(func(mark uint64) bool { return mark == p.mark }, killBound); n > 0 {
		p.logs.out.Error("processes of the plugin do not end even by SIGKILL", "processes", n)
	}
	if err := p.group.end(); err != nil {
		p.logs.out.Error("the plugin's control group does not end", "error", err)
	}
}

// Wait is for go-plugin; the pipes that it reads end with the process.
func (p *process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Kill is for go-plugin.
func (p *process) Kill(context.Context) error {
	p.kill()
	return nil
}

// Stdout gives go-plugin the handshake.
func (p *process) Stdout() io.ReadCloser { return p.toHost }

// Stderr gives go-plugin nothing: this package reads it.
func (p *process) Stderr() io.ReadCloser { return io.NopCloser(&untilDone{p.done}) }

// Diagnose adds nothing: our own error shows the last lines.
func (p *process) Diagnose(context.Context) string { return "" }

// Name is for go-plugin's logs.
func (p *process) Name() string { return filepath.Base(p.cmd.Path) }

// ID is for go-plugin's logs.
func (p *process) ID() string { return strconv.Itoa(p.pid()) }

// PluginToHost returns the address of the handshake unchanged: plugins live in our own namespaces. It refuses addresses
// of other machines.
func (p *process) PluginToHost(network, addr string) (string, string, error) {
	if strings.HasPrefix(network, "tcp") {
		at, err := netip.ParseAddrPort(addr)
		if err != nil || !at.Addr().IsLoopback() {
			return "", "", fmt.Errorf("the plugin listens on %q, which is not on loopback", addr)
		}
	}
	return network, addr, nil
}

// HostToPlugin returns the address unchanged.
func (p *process) HostToPlugin(network, addr string) (string, string, error) {
	return network, addr, nil
}

// untilDone is a reader without data that ends with the process.
type untilDone struct{ done <-chan struct{} }

func (u *untilDone) Read([]byte) (int, error) {
	<-u.done
	return 0, io.EOF
}
