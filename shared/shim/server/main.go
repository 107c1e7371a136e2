//go:build unix

package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gatehost/gatehost/shared/shim"
)

const maxRequest = 8 << 20

// Run reads a launch from standard input, reports on standard output when it is decided, and returns when the gateway
// has ended and was released, or was not released in time. The result is the exit code of the shim.
func Run() int {
	// The handler must be there before the first child is.
	ignored := make(chan os.Signal, 1) // never read; SIG_IGN would be inherited by the gateway
	signal.Notify(ignored, syscall.SIGINT, syscall.SIGPIPE)
	look := make(chan os.Signal, 1) // one pending look at the socket is enough
	signal.Notify(look, syscall.SIGHUP)
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	children := make(chan os.Signal, 1) // one pending wake-up stands for any number of dead children
	signal.Notify(children, syscall.SIGCHLD)
	debug.SetGCPercent(25)
	debug.SetMemoryLimit(24 << 20)
	closeStrays()
	unix.Umask(0o077)

	report, s := begin(children)
	if report.Failure == nil && !report.Already {
		if f := s.launch(); f != nil {
			report.Failure = f
		} else {
			state := s.snapshot()
			report.State = &state
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil && s != nil {
		// the launch is valid: its caller died, the next one finds it
		s.log.printf("the caller did not read the report: %v", err)
	}
	silence(1)
	if report.Already {
		return 0
	}
	if report.Failure != nil {
		if s != nil {
			s.abandon()
		}
		return 1
	}
	s.serve(terminate, look)
	return 0
}

// begin takes the bundle; s is nil while there is none.
func begin(children <-chan os.Signal) (shim.StartReport, *supervisor) {
	refuse := func(code shim.Code, err error) (shim.StartReport, *supervisor) {
		return shim.StartReport{Failure: shim.Failf(code, "cannot launch gateway: %v", err)}, nil
	}
	raw, err := io.ReadAll(io.LimitReader(os.Stdin, maxRequest+1))
	silence(0)
	if err != nil {
		return refuse(shim.CodeInternal, err)
	}
	if len(raw) > maxRequest {
		return refuse(shim.CodeInvalid, fmt.Errorf("launch request is larger than %d bytes", maxRequest))
	}
	var req shim.StartRequest
	if err := json.Unmarshal(raw, &req); err != nil {
		return refuse(shim.CodeInvalid, errors.New("launch request is not JSON")) // the cause could quote a secret
	}
	clear(raw)
	if req.Version != shim.ProtocolVersion {
		return refuse(shim.CodeVersion, fmt.Errorf("launch request has version %d, this shim speaks %d",
			req.Version, shim.ProtocolVersion))
	}
	if err := req.Spec.Validate(); err != nil {
		return refuse(shim.CodeInvalid, err)
	}
	lock, err := shim.Lock(req.BundleDir)
	if err != nil {
		return refuse(shim.CodeInternal, err)
	}
	if lock == nil {
		return shim.StartReport{Already: true}, nil
	}
	if b, err := shim.OpenBundle(req.BundleDir); err != nil {
		return refuse(shim.CodeInternal, err)
	} else if b.Spec != nil && b.Spec.Hash != req.Spec.Hash() { // two callers wrote theirs at the same time
		return refuse(shim.CodeMismatch, shim.ErrSpecMismatch)
	} else if b.State != nil && (b.State.Gateway.PID != 0 || b.State.Phase == shim.PhaseFailed) {
		return shim.StartReport{Already: true}, nil // a launch id is used once
	}
	return shim.StartReport{}, newSupervisor(req, lock, children)
}

// silence replaces a standard descriptor by the null device.
func silence(fd int) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		_ = unix.Close(fd)
		return
	}
	defer null.Close()
	_ = replace(int(null.Fd()), fd)
}
