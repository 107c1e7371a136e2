package shim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// StartOptions say what Start is to launch, and where.
type StartOptions struct {
	// ShimPath is the gatehost-shim binary.
	ShimPath string
	// BundleDir is <run_dir>/<launch_id>; it may exist already, and must when the caller wants to find the launch after
	// its own death. Its name must be Spec.LaunchID.
	BundleDir string
	// Spec is what to run. Its Socket's directory must exist.
	Spec Spec
}

// Started is the answer to Start.
type Started struct {
	// Client is nil when the launch was made earlier and its shim is gone; then Bundle tells what there is.
	Client *Client
	Bundle Bundle
	State  State
	// Already says that an earlier call had launched it.
	Already bool
}

// StartRequest is what a shim reads from its standard input.
type StartRequest struct {
	Version   int    `json:"v"`
	BundleDir string `json:"bundle_dir"`
	Spec      Spec   `json:"spec"`
}

// StartReport is the one line that a shim writes to its standard output when the launch is decided.
type StartReport struct {
	State   *State   `json:"state,omitempty"`
	Failure *Failure `json:"failure,omitempty"`
	Already bool     `json:"already,omitempty"`
}

// Start launches a gateway under a shim of its own and returns when its program runs. It is idempotent by launch id:
// while a bundle exists no second gateway is started, even by callers at the same time. When ctx ends first, the launch
// may still happen; OpenBundle says. Errors: ErrCommandNotFound, ErrPermission, ErrInvalidSpec, ErrSpecMismatch,
// ErrUnsupported; ErrElsewhere; ErrBroken for a bundle that cannot be read.
func Start(ctx context.Context, o StartOptions) (Started, error) {
	if !supported {
		return Started{}, fmt.Errorf("cannot launch gateway: %w", ErrUnsupported)
	}
	if err := o.Spec.Validate(); err != nil {
		return Started{}, fmt.Errorf("cannot launch gateway: %w: %w", ErrInvalidSpec, err)
	}
	if !filepath.IsAbs(o.BundleDir) || filepath.Base(o.BundleDir) != o.Spec.LaunchID {
		return Started{}, fmt.Errorf("cannot launch gateway: %w: bundle %q is not <run directory>/%s",
			ErrInvalidSpec, o.BundleDir, o.Spec.LaunchID)
	}
	if err := prepare(o); err != nil {
		return Started{}, err
	}
	b, err := OpenBundle(o.BundleDir)
	if err != nil {
		return Started{}, err
	}
	if err := b.Elsewhere(); err != nil {
		return Started{}, err
	}
	if b.begun() {
		return join(ctx, o.BundleDir)
	}
	report, err := spawnShim(ctx, o)
	switch {
	case err != nil:
		return Started{}, err
	case report.Failure != nil:
		return Started{}, report.Failure
	case report.Already:
		return join(ctx, o.BundleDir)
	}
	return taken(ctx, o.BundleDir, false)
}

// begun reports whether a gateway ever ran, or may still run, in b: then no second shim is started. A shim that died
// before there was a gateway leaves a bundle that may be used again.
func (b Bundle) begun() bool {
	return b.State != nil && (b.ShimAlive || b.State.Gateway.PID != 0 || b.State.Phase == PhaseFailed)
}

// prepare makes bundle and spec durable.
func prepare(o StartOptions) error {
	if err := os.MkdirAll(o.BundleDir, 0o700); err != nil {
		return fmt.Errorf("cannot create launch bundle: %w", err)
	}
	if err := private(o.BundleDir); err != nil {
		return fmt.Errorf("cannot create launch bundle: %w", err)
	}
	if err := syncDir(filepath.Dir(o.BundleDir)); err != nil {
		return fmt.Errorf("cannot create launch bundle: %w", err)
	}
	path := filepath.Join(o.BundleDir, specFile)
	switch old, err := readSpec(o.BundleDir); {
	case err == nil && old.Hash == o.Spec.Hash():
		return nil
	case err == nil:
		return fmt.Errorf("cannot launch gateway: launch %s: %w", o.Spec.LaunchID, ErrSpecMismatch)
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("cannot launch gateway: %w: %w", ErrBroken, err)
	}
	return writeDurably(path, o.Spec.saved(time.Now()))
}

// join waits for what an earlier or parallel call has begun.
func join(ctx context.Context, dir string) (Started, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		b, err := OpenBundle(dir)
		if err != nil {
			return Started{}, err
		}
		// With a gateway pid the socket is bound, and answers when the launch is decided.
		if b.Status != StatusNew && (b.Status != StatusStarting || b.State.Gateway.PID != 0) {
			return taken(ctx, dir, true)
		}
		select {
		case <-ctx.Done():
			return Started{}, fmt.Errorf("cannot wait for launch %s: %w", b.LaunchID, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// taken connects to a launch that is decided.
func taken(ctx context.Context, dir string, already bool) (Started, error) {
	c, err := Connect(ctx, dir)
	if err != nil && !errors.Is(err, ErrShimGone) {
		return Started{}, err
	}
	b, openErr := OpenBundle(dir)
	if openErr != nil {
		return Started{}, openErr
	}
	if b.State == nil {
		return Started{}, fmt.Errorf("cannot launch gateway: %w: its state.json is gone", ErrBroken)
	}
	s := Started{Client: c, Bundle: b, State: *b.State, Already: already}
	if b.Status == StatusFailed {
		if c != nil {
			c.Close()
		}
		if b.State.Failure != nil {
			return Started{}, b.State.Failure
		}
		return Started{}, fmt.Errorf("cannot launch gateway: %s", b.Detail)
	}
	if c != nil {
		if state, err := c.State(ctx); err == nil {
			s.State = state
		}
	}
	return s, nil
}

// spawnShim starts the shim process and reads its report. The shim gets an empty environment: the gateway's goes
// through the pipe, so that neither argv nor a file nor /proc/PID/environ of the shim ever holds a secret.
func spawnShim(ctx context.Context, o StartOptions) (StartReport, error) {
	fail := func(err error) (StartReport, error) {
		return StartReport{}, fmt.Errorf("cannot start shim %q: %w", o.ShimPath, err)
	}
	request, err := json.Marshal(StartRequest{Version: ProtocolVersion, BundleDir: o.BundleDir, Spec: o.Spec})
	if err != nil {
		return fail(err)
	}
	stdin, toShim, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	defer stdin.Close()
	defer toShim.Close()
	fromShim, stdout, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	defer fromShim.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		stdout.Close()
		return fail(err)
	}
	proc, err := os.StartProcess(o.ShimPath, []string{"gatehost-shim", "run", o.Spec.LaunchID}, &os.ProcAttr{
		Dir: "/", Env: []string{}, Files: []*os.File{stdin, stdout, null}, Sys: detached(),
	})
	null.Close()
	stdout.Close()
	if err != nil {
		return fail(err)
	}
	// The shim outlives this call and this process; while we live it is ours to reap.
	go func() { _, _ = proc.Wait() }()

	stop := context.AfterFunc(ctx, func() {
		_ = toShim.SetDeadline(time.Unix(1, 0))
		_ = fromShim.SetDeadline(time.Unix(1, 0))
	})
	defer stop()
	_, writeErr := toShim.Write(request)
	toShim.Close()
	line, readErr := io.ReadAll(io.LimitReader(fromShim, maxHeader))
	if ctx.Err() != nil {
		return StartReport{}, fmt.Errorf("cannot launch gateway: %w", context.Cause(ctx))
	}
	var report StartReport
	if err := json.Unmarshal(line, &report); err != nil {
		return fail(fmt.Errorf("it ended without a report (%w); its log ends with %q",
			errors.Join(writeErr, readErr, err), logTail(o.BundleDir)))
	}
	return report, nil
}
