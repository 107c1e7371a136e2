//go:build unix

package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/outlog"
	"github.com/gatehost/gatehost/shared/shim/process"
)

// launch brings the gateway to life in the order that makes a crash at any point harmless: our identity on disk, the
// places for exit and output reserved, the socket bound, a process that holds still, its identity on disk, and only
// then its program.
func (s *supervisor) launch() *shim.Failure {
	program, failure := s.resolve()
	if failure != nil {
		return s.fail(failure)
	}
	if err := s.prepare(); err != nil {
		return s.fail(shim.Failf(shim.CodeInternal, "cannot launch gateway: %v", err))
	}
	held, err := s.hold(program)
	if err != nil {
		return s.fail(shim.Failf(shim.CodeInternal, "cannot launch gateway: cannot start a process: %v", err))
	}
	defer held.close()
	if err := shim.WriteState(s.dir, s.state); err != nil {
		// closing lets the held process go
		return s.fail(shim.Failf(shim.CodeInternal, "cannot launch gateway: %v", err))
	}
	if failure := held.run(s.spec.Argv[0], program); failure != nil {
		return s.fail(failure)
	}
	s.save(func(st *shim.State) { st.Phase = shim.PhaseRunning })
	s.spec.Env = nil // needed no more, and full of secrets
	for i, stream := range []outlog.Stream{outlog.Stdout, outlog.Stderr} {
		s.readers[i] = make(chan bool, 1) // the reader never waits for the drain
		go s.read(s.pipes[i], stream, s.readers[i])
	}
	return nil
}

// prepare does all that needs no gateway.
func (s *supervisor) prepare() error {
	self, err := process.Identify(os.Getpid())
	if err != nil {
		return err
	}
	here, err := process.Here()
	if err != nil {
		return err
	}
	if s.alive, err = shim.HoldAlive(s.dir); err != nil {
		return err
	}
	if err := shim.WriteBeat(s.dir); err != nil { // the disk may be full; the time of state.json counts then
		s.log.printf("%v", err)
	}
	s.state = shim.State{
		Version: shim.ProtocolVersion, LaunchID: s.spec.LaunchID, Phase: shim.PhaseStarting, Shim: self,
		Socket: s.spec.Socket, Argv: s.spec.Argv, SpecHash: s.spec.Hash(), StartedAt: time.Now().UTC(),
		Labels: s.spec.Labels,
		Group:  s.makeGroup(),
	}
	s.state.At(here)
	if err := shim.WriteState(s.dir, s.state); err != nil {
		return err
	}
	if err := becomeSubreaper(); err != nil {
		return fmt.Errorf("cannot become subreaper: %w", err)
	}
	if s.record, err = shim.ReserveExit(s.dir); err != nil {
		return err
	}
	if err := s.secret.Keep(s.dir); err != nil {
		return err
	}
	if err := s.createOutput(); err != nil {
		return err
	}
	s.listener, s.bound, err = bind(s.spec.Socket)
	return err
}

// roomSize is what is left on the disk for the files of the launch that are written anew: state and secret.
const roomSize = 32 << 10

// createOutput makes the log of the output. On a disk that is nearly full the log would take the last blocks: it gets
// only what is left beside the room, or lives in memory.
func (s *supervisor) createOutput() (err error) {
	room := filepath.Join(s.dir, ".room")
	defer os.Remove(room)
	if err := os.WriteFile(room, make([]byte, roomSize), 0o600); err != nil {
		s.log.printf("the disk is full: %v", err)
	}
	if s.out, err = outlog.Create(s.dir, s.spec.OutputMaxBytes); err != nil {
		return err
	}
	if _, fault := s.out.Degraded(); fault != "" {
		s.log.printf("output is kept in memory: %s", fault)
	}
	return nil
}

// fail records that there will be no gateway.
func (s *supervisor) fail(f *shim.Failure) *shim.Failure {
	s.log.printf("%s", f.Message)
	s.mu.Lock()
	launched := s.state.Version != 0
	s.mu.Unlock()
	if !launched { // nothing is on disk yet that a later reader would need
		if self, err := process.Identify(os.Getpid()); err == nil {
			s.state = shim.State{
				Version: shim.ProtocolVersion, LaunchID: s.spec.LaunchID, Shim: self, Argv: s.spec.Argv,
				SpecHash: s.spec.Hash(), StartedAt: time.Now().UTC(), Labels: s.spec.Labels, Socket: s.spec.Socket,
			}
			if here, err := process.Here(); err == nil {
				s.state.At(here)
			}
		}
	}
	s.save(func(st *shim.State) { st.Phase, st.Failure = shim.PhaseFailed, f })
	return f
}

// abandon gives up what a failed launch took.
func (s *supervisor) abandon() {
	if s.listener != nil {
		s.listener.Close() // removes the socket
	}
	if s.out != nil {
		s.out.Close()
	}
	s.dropGroup()
}

// groupAge is far longer than the time between making a group and the gateway's being in it.
const groupAge = 10 * time.Minute

// makeGroup makes a control group for the gateway, in which its whole tree can be killed at once. Without one the tree
// is found by descent and by its mark.
func (s *supervisor) makeGroup() *process.Group {
	if s.spec.NoGroup {
		return nil
	}
	process.SweepGroups(shim.GroupName(""), groupAge)
	g, err := process.MakeGroup(shim.GroupName(s.spec.LaunchID))
	if err != nil {
		s.log.printf("goes on without a control group: %v", err)
		return nil
	}
	return &g
}

func (s *supervisor) dropGroup() {
	s.mu.Lock()
	g := s.state.Group
	s.mu.Unlock()
	if g == nil {
		return
	}
	if err := g.Remove(); err != nil {
		s.log.printf("%v", err)
	}
}

// fork starts the process that will be the gateway, in its control group if there is one; mu is held.
func (s *supervisor) fork(path string, argv []string, attr *syscall.ProcAttr) (int, error) {
	attr.Sys = &syscall.SysProcAttr{Setpgid: true}
	if s.state.Group != nil {
		dir, err := s.state.Group.Open()
		if err == nil {
			enterGroup(attr.Sys, dir)
			var pid int
			pid, err = syscall.ForkExec(path, argv, attr)
			dir.Close()
			if err == nil {
				return pid, nil
			}
		}
		s.log.printf("goes on without a control group: cannot start a process in it: %v", err)
		_ = s.state.Group.Remove()
		s.state.Group = nil
		attr.Sys = &syscall.SysProcAttr{Setpgid: true}
	}
	return syscall.ForkExec(path, argv, attr)
}

// resolve finds the program as execvp would, in the gateway's own PATH and not in ours.
func (s *supervisor) resolve() (string, *shim.Failure) {
	return shim.FindProgram(s.spec.Argv[0], s.spec.Cwd, s.env("PATH"))
}

func (s *supervisor) env(name string) string {
	value := ""
	for _, v := range s.spec.Env {
		if v.Name == name {
			value = v.Value
		}
	}
	return value
}

// held is a process that has its pid but does not run its program yet.
type held struct {
	gate   *os.File // one byte releases it; closing it ends it
	result *os.File // an errno when its program could not be executed; the end of file when it could
}

func (h *held) close() {
	h.gate.Close()
	h.result.Close()
}

// hold starts this program again as "exec-child": it waits for a byte on descriptor 3 before it becomes the gateway.
func (s *supervisor) hold(program string) (*held, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var closers []*os.File
	defer func() {
		for _, f := range closers {
			f.Close()
		}
	}()
	pipe := func() (r, w *os.File) {
		if err == nil {
			r, w, err = os.Pipe()
		}
		return r, w
	}
	outR, outW := pipe()
	errR, errW := pipe()
	gateR, gateW := pipe()
	resultR, resultW := pipe()
	if err != nil {
		return nil, err
	}
	closers = append(closers, outW, errW, gateR, resultW)
	stdin, err := s.stdin()
	if err != nil {
		return nil, err
	}
	closers = append(closers, stdin)
	env := make([]string, 0, len(s.spec.Env)+1)
	for _, v := range s.spec.Env {
		if v.Name != shim.EnvLaunchID && v.Name != shim.EnvMark {
			env = append(env, v.Name+"="+v.Value)
		}
	}
	env = append(env, shim.EnvLaunchID+"="+s.spec.LaunchID, shim.EnvMark+"="+s.state.Mark())
	cwd := s.spec.Cwd
	if cwd == "" {
		cwd = "/"
	}
	// Fd() makes the descriptors block, which is what a child expects of its pipes.
	files := []uintptr{stdin.Fd(), outW.Fd(), errW.Fd(), gateR.Fd(), resultW.Fd(), s.alive.Fd()}
	argv := append([]string{"gatehost-shim", "exec-child", program}, s.spec.Argv...)

	s.mu.Lock() // so that the reaper cannot see it before we know its pid
	defer s.mu.Unlock()
	pid, err := s.fork(self, argv, &syscall.ProcAttr{Dir: cwd, Env: env, Files: files})
	if err != nil {
		return nil, err
	}
	h := &held{gate: gateW, result: resultR}
	s.pipes = [2]*os.File{outR, errR}
	if s.state.Gateway, err = process.Identify(pid); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// stdin is what the gateway reads: nothing, or what the spec contains, written by its own goroutine until it is read or
// refused.
func (s *supervisor) stdin() (*os.File, error) {
	if len(s.spec.Stdin) == 0 {
		return os.OpenFile(os.DevNull, os.O_RDONLY, 0)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	data := s.spec.Stdin
	s.spec.Stdin = nil
	go func() {
		defer w.Close()
		_, _ = w.Write(data) // ends when the last reader is gone, too
	}()
	return r, nil
}

// run releases the process and waits until it is the gateway, or cannot be.
func (h *held) run(name, program string) *shim.Failure {
	if _, err := h.gate.Write([]byte{1}); err != nil {
		return shim.Failf(shim.CodeInternal, "cannot launch gateway: its process ended before it began: %v", err)
	}
	var b [4]byte
	n, _ := h.result.Read(b[:])
	if n == 0 {
		return nil
	}
	switch errno := syscall.Errno(b[0]); {
	case errno == unix.ENOENT: // the file is there, so it is what its first line names
		return shim.Failf(shim.CodeNotFound, "cannot launch gateway: exec %q: not found: the interpreter of %s", name,
			program)
	case errno == unix.EACCES || errno == unix.EPERM:
		return shim.Failf(shim.CodePermission, "cannot launch gateway: exec %q: permission denied", name)
	default:
		return shim.Failf(shim.CodeInvalid, "cannot launch gateway: exec %q: %v", name, errno)
	}
}

// ExecChild is the other side of hold: args are the program's path and its argv.
func ExecChild(args []string) int {
	if len(args) < 2 {
		return 127
	}
	var b [1]byte
	if n, _ := syscall.Read(3, b[:]); n != 1 {
		return 127 // the shim died: there must be no gateway without a record
	}
	_ = syscall.Close(3)
	syscall.CloseOnExec(4)
	inheritAlive(5)
	err := syscall.Exec(args[0], args[1:], syscall.Environ())
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok || errno > 255 {
		errno = unix.EINVAL
	}
	_, _ = syscall.Write(4, []byte{byte(errno)})
	return 127
}

// aliveFrom is the least descriptor of the lock that a gateway inherits. Shells use those below 10 for themselves, and
// Node does not hand on those up to 15 to its children, whose life is not the gateway's.
const aliveFrom = 12

// inheritAlive moves the lock of the launch to where it is in no one's way. The program keeps it as long as it lives,
// and needs to know nothing of it: a host in another pid namespace, which cannot see the process, sees the lock.
func inheritAlive(fd int) {
	defer syscall.Close(fd)
	_, _ = unix.FcntlInt(uintptr(fd), unix.F_DUPFD, aliveFrom) // without it the heartbeat says that it lives
}
