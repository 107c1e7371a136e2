//go:build unix

package server

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/process"
)

// stop ends the gateway and returns when no process of its tree is left. Any number of stops may run at once: they wait
// for the same end, and the shortest grace counts.
func (s *supervisor) stop(grace time.Duration) (shim.Stopped, error) {
	s.begin(grace)
	<-s.final
	<-s.cleared
	s.mu.Lock()
	defer s.mu.Unlock()
	stopped := shim.Stopped{Exit: *s.exit, Killed: s.killed, Swept: s.swept}
	if s.survived != nil {
		return stopped, shim.Failf(shim.CodeSurvived, "%v", s.survived)
	}
	return stopped, nil
}

// begin asks the gateway to end, and sets the time at which it is killed.
func (s *supervisor) begin(grace time.Duration) {
	if s.arm(grace) {
		s.terminate()
	}
}

// arm sets the time of the kill; it reports whether a SIGTERM is due.
func (s *supervisor) arm(grace time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := time.Now().Add(grace)
	if s.killer != nil { // also after the end of the gateway's own process: the grace may count for the rest of its tree
		if at.Before(s.killAt) {
			s.killAt = at
			s.killer.Reset(grace)
		}
		return false
	}
	if s.exit != nil {
		return false
	}
	s.state.StopAsked = true
	s.killAt = at
	s.killer = time.AfterFunc(grace, s.kill)
	s.log.printf("stopping, grace %v", grace)
	return grace > 0
}

// terminate sends SIGTERM to the gateway's process group, once to each process.
func (s *supervisor) terminate() {
	s.tree.Lock()
	defer s.tree.Unlock()
	s.mu.Lock()
	gateway := s.state.Gateway
	s.mu.Unlock()
	err := process.Terminate(gateway, s.told)
	if err != nil && !errors.Is(err, process.ErrGone) { // gone: what it left is swept
		s.log.printf("cannot send SIGTERM to the process group: %v", err)
		_ = gateway.Signal(syscall.SIGTERM)
	}
}

// kill ends the whole tree, the gateway with it.
func (s *supervisor) kill() {
	s.mu.Lock()
	ended := s.exit != nil
	s.mu.Unlock()
	if ended { // in time; what it left has no more grace either
		s.hurrySweep()
		return
	}
	s.tree.Lock()
	defer s.tree.Unlock()
	s.mu.Lock()
	over := s.exit != nil
	s.killed = s.killed || !over
	s.mu.Unlock()
	if over {
		return // in time after all; sweep does the rest
	}
	n, err := process.End(context.Background(), s.whole(), 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.swept += max(n-1, 0) // without the gateway
	s.log.printf("killed %d processes: %v", n, err)
}

// stopAlone ends the gateway without a request over the socket.
func (s *supervisor) stopAlone(reason string) {
	s.log.printf("stopping: %s", reason)
	s.mu.Lock()
	if s.exit == nil {
		s.state.StoppedAlone = true
	}
	s.mu.Unlock()
	_, _ = s.stop(s.grace()) // what survived is in the log
}

// signal sends one signal to the gateway's own process.
func (s *supervisor) signal(name string) error {
	sig, err := process.ParseSignal(name)
	if err != nil {
		return shim.Failf(shim.CodeBadSignal, "%v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exit != nil {
		return shim.Failf(shim.CodeEnded, "cannot signal gateway: it has ended")
	}
	switch err := s.state.Gateway.Signal(sig); {
	case errors.Is(err, process.ErrGone): // and not reaped yet
		return shim.Failf(shim.CodeEnded, "cannot signal gateway: it has ended")
	case err != nil:
		return shim.Failf(shim.CodeInternal, "cannot signal gateway: %v", err)
	}
	return nil
}

// armOrphan starts or stops the clock of orphan grace; mu is held.
func (s *supervisor) armOrphan() {
	if s.spec.OrphanGrace == nil {
		return
	}
	if s.orphan != nil {
		s.orphan.Stop()
		s.orphan = nil
	}
	if len(s.conns) > 0 || s.exit != nil {
		return
	}
	grace := *s.spec.OrphanGrace
	s.orphan = time.AfterFunc(grace, func() {
		s.mu.Lock()
		taken := len(s.conns) > 0 // a client came while the timer fired
		s.mu.Unlock()
		if !taken {
			s.stopAlone(fmt.Sprintf("no host for %v", grace))
		}
	})
}
