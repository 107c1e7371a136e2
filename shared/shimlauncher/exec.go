package shimlauncher

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/shim"
)

const (
	// execDir holds the bundles of one-shot commands, where List does not look.
	execDir = ".exec"
	// execOrphan ends a command whose plugin died, and then its shim: no other plugin asks for the outcome.
	execOrphan = 10 * time.Second
	// execCleanup bounds the end of a command whose caller is gone.
	execCleanup = 30 * time.Second
	// defaultMaxOutput is MaxOutputBytes when the caller names none.
	defaultMaxOutput = 4 << 20
)

// Exec runs a one-shot command under a shim of its own, so that its whole tree can be ended, and is ended when this
// plugin dies.
func (l *Launcher) Exec(
	ctx context.Context, req launcher.ExecRequest, sink func(plugin.Line) error,
) (launcher.ExecResult, error) {
	path, dirs, err := l.place()
	if err != nil {
		return launcher.ExecResult{}, err
	}
	switch {
	case req.Timeout <= 0:
		return launcher.ExecResult{}, fault.New(fault.InvalidArgument, "cannot run command: timeout must be positive")
	case len(req.Stdin) > shim.MaxStdin:
		return launcher.ExecResult{}, fault.New(fault.InvalidArgument,
			fmt.Sprintf("cannot run command: %d bytes for its standard input, the limit is %d", len(req.Stdin),
				shim.MaxStdin))
	}
	id := rand.Text()
	dir := filepath.Join(dirs.Run, execDir, id)
	spec, err := l.specOf(id, req.Process)
	if err != nil {
		return launcher.ExecResult{}, err
	}
	orphan, linger := execOrphan, execOrphan
	spec.Socket, spec.Stdin, spec.OrphanGrace, spec.Linger = shim.SocketPath(dirs.Runtime, dir), req.Stdin, &orphan,
		&linger
	if ctx.Err() != nil {
		return launcher.ExecResult{}, faultOf(context.Cause(ctx))
	}
	// Not with ctx: a caller that goes away while the command is being started would leave it to its shim, which ends
	// it only as an orphan. We end it below.
	starting, begun := context.WithTimeout(context.WithoutCancel(ctx), execCleanup)
	defer begun()
	started, err := shim.Start(starting, shim.StartOptions{ShimPath: path, BundleDir: dir, Spec: spec})
	if err != nil {
		abandon(ctx, dir)
		return launcher.ExecResult{}, faultOf(err)
	}
	run := &command{bundle: dir, client: started.Client, limit: req.MaxOutputBytes, sink: sink}
	if run.limit == 0 {
		run.limit = defaultMaxOutput
	}
	return run.wait(ctx, req.Timeout)
}

// command is one run of Exec.
type command struct {
	bundle string
	client *shim.Client // nil when it was over before we could connect
	sink   func(plugin.Line) error
	limit  uint64 // bytes of output that may still be passed on
	result launcher.ExecResult
	ended  bool
}

func (c *command) wait(ctx context.Context, timeout time.Duration) (launcher.ExecResult, error) {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := c.follow(limited)
	if !c.ended && ctx.Err() == nil && limited.Err() != nil {
		c.result.TimedOut, err = true, nil
	}
	// The caller may be gone, the command must not stay.
	end, cancelEnd := context.WithTimeout(context.WithoutCancel(ctx), execCleanup)
	defer cancelEnd()
	endErr := c.end(end)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = endErr
	}
	return c.result, faultOf(err)
}

// follow passes the lines on until the command has ended.
func (c *command) follow(ctx context.Context) error {
	items := shim.CutLines(0, c.item)
	if c.client == nil {
		return c.offline(ctx, items)
	}
	return c.client.Output(ctx, 0, true, items)
}

func (c *command) offline(ctx context.Context, items func(shim.Item) error) error {
	b, err := shim.OpenBundle(c.bundle)
	if err != nil {
		return err
	}
	return b.Output(ctx, 0, items)
}

func (c *command) item(item shim.Item) error {
	switch item := item.(type) {
	case shim.Line:
		n := uint64(len(item.Text)) + 1
		if n > c.limit {
			c.limit = 0 // no shorter line may follow one that was dropped
			c.result.DroppedBytes += n
			return nil
		}
		c.limit -= n
		return sinkErr(c.sink(line(item)))
	case shim.Gap:
		c.result.DroppedBytes += item.Bytes()
	case shim.End:
		c.ended, c.result.Exit = true, exit(item.Exit)
	}
	return nil
}

// end kills what is left of the tree and removes every trace.
func (c *command) end(ctx context.Context) error {
	if c.client != nil {
		defer c.client.Close()
		stopped, err := c.client.Stop(ctx, 0)
		if err == nil && !c.ended {
			c.result.Exit = exit(&stopped.Exit)
		}
		if err == nil {
			err = c.client.Release(ctx)
		}
		if err != nil && !errors.Is(err, shim.ErrShimGone) {
			return err
		}
	}
	b, err := shim.OpenBundle(c.bundle)
	if errors.Is(err, shim.ErrNoBundle) {
		return nil // another process removed it before us
	}
	if err != nil {
		return err
	}
	if _, err := b.StopUnwatched(ctx, 0); err != nil { // its shim was killed: the tree may be alive
		return err
	}
	return shim.Remove(c.bundle)
}

// abandon removes a command that could not be started. When its shim did not answer in time the command may still run:
// then the shim ends it, as an orphan.
func abandon(ctx context.Context, dir string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), execCleanup)
	defer cancel()
	if b, err := shim.OpenBundle(dir); err == nil && b.State != nil && b.Status == shim.StatusFailed {
		_ = b.State.Shim.WaitGone(ctx)
	}
	_ = shim.Remove(dir) // refused while anything lives: the next start of the plugin gets it
}

// leftoverAge is how long a command that is over belongs to the process that ran it: that process may be alive, and
// about to report how it ended, while its replacement starts.
const leftoverAge = 2 * execCleanup

// removeLeftovers removes commands that are over. Those that run end by themselves, because they are orphaned, except
// those whose shim is gone: no other process would end them.
func removeLeftovers(ctx context.Context, dir string) {
	bundles, err := shim.List(dir)
	if err != nil {
		return
	}
	for _, b := range bundles {
		if b.Status == shim.StatusUnwatched {
			_, _ = b.StopUnwatched(ctx, 0) // what survives is met again at the next start
		}
		if (b.Status == shim.StatusFailed || b.Status == shim.StatusEnded) && time.Since(overSince(b)) > leftoverAge {
			_ = shim.Remove(b.Dir) // fails while its shim lives: the next start gets it
		}
	}
}

// overSince returns when a command ended, or was last written about.
func overSince(b shim.Bundle) time.Time {
	var at time.Time
	if fi, err := os.Stat(b.Dir); err == nil {
		at = fi.ModTime()
	}
	if b.Exit != nil && b.Exit.At.After(at) {
		at = b.Exit.At
	}
	return at
}
