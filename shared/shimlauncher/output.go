package shimlauncher

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/shim"
)

// Bounds of a batch, from the contract.
const (
	batchLines = 256
	batchBytes = 1 << 20
)

// Output streams lines from the shim, and from the files when the shim is gone; no line is lost or doubled in between.
func (l *Launcher) Output(ctx context.Context, req launcher.OutputRequest, sink func(launcher.OutputItem) error) error {
	out := &batcher{sink: func(item launcher.OutputItem) error { return sinkErr(sink(item)) }, cursor: req.Cursor}
	beats := 1 // before the next attempt, at most a second of them
	for {
		b, err := l.bundle(ctx, req.LaunchID)
		if err != nil {
			return err
		}
		if undecided(b) {
			if err := pause(ctx); err != nil {
				return err
			}
			continue
		}
		if !b.ShimAlive {
			return l.offline(ctx, b, req.Follow, out)
		}
		c, err := l.client(ctx, req.LaunchID)
		if err == nil {
			err = out.run(ctx, func(ctx context.Context, items func(shim.Item) error) error {
				return c.Output(ctx, 0, req.Follow, shim.CutLines(out.cursor, items))
			})
		}
		if !errors.Is(err, shim.ErrShimGone) || ctx.Err() != nil {
			return faultOf(err)
		}
		for range min(beats, 50) { // the shim is going: what it wrote is on disk; or it cannot be reached for now
			if err := pause(ctx); err != nil {
				return err
			}
		}
		beats *= 2
	}
}

func (l *Launcher) offline(ctx context.Context, b shim.Bundle, follow bool, out *batcher) error {
	err := out.run(ctx, func(ctx context.Context, items func(shim.Item) error) error {
		return b.Output(ctx, 0, shim.CutLines(out.cursor, items))
	})
	if err == nil && follow && b.Live() {
		return fault.New(fault.Unavailable, fmt.Sprintf("cannot follow output of launch %s: %s", b.LaunchID, b.Detail)).
			WithHint("restart the gateway: its output is lost until then")
	}
	return faultOf(err)
}

// batcher collects lines while more are ready, so that a flood costs few messages and a single line is sent at once.
type batcher struct {
	sink   func(launcher.OutputItem) error
	cursor uint64 // of the last line that sink took
	lines  []plugin.Line
	bytes  int
}

// run calls source in its own goroutine and sink in the caller's, and ends when both have ended.
func (o *batcher) run(ctx context.Context, source func(context.Context, func(shim.Item) error) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	items := make(chan shim.Item, batchLines) // so much may be read ahead: one batch
	done := make(chan error, 1)
	go func() {
		err := source(ctx, func(item shim.Item) error {
			select {
			case items <- item:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
		done <- err
		close(items)
	}()
	sunk := o.pump(items)
	if sunk != nil {
		cancel(sunk)
		for range items { //nolint:revive // the source must not wait for us
		}
	}
	if err := <-done; sunk == nil {
		return err
	}
	return sunk
}

// pump passes items on until there are no more, or sink fails.
func (o *batcher) pump(items <-chan shim.Item) error {
	for {
		var item shim.Item
		var more bool
		select {
		case item, more = <-items:
		default: // nothing more for now
			if err := o.flush(); err != nil {
				return err
			}
			item, more = <-items
		}
		if !more {
			return o.flush()
		}
		if err := o.take(item); err != nil {
			return err
		}
	}
}

func (o *batcher) take(item shim.Item) error {
	if line_, ok := item.(shim.Line); ok {
		if len(o.lines) == batchLines || (len(o.lines) > 0 && o.bytes+len(line_.Text) > batchBytes) {
			if err := o.flush(); err != nil {
				return err
			}
		}
		o.lines = append(o.lines, line(line_))
		o.bytes += len(line_.Text)
		return nil
	}
	if err := o.flush(); err != nil {
		return err
	}
	switch item := item.(type) {
	case shim.Gap:
		o.cursor = item.To
		return o.sink(&launcher.Gap{From: item.From, To: item.To, Bytes: item.Bytes(), ToLine: item.ToLine})
	case shim.Heartbeat:
		return o.sink(&launcher.Heartbeat{Cursor: max(item.EndOffset, o.cursor)})
	case shim.End:
		if item.Running {
			return nil // the end of what is there, not of the gateway
		}
		return o.sink(&launcher.End{Exit: exit(item.Exit), EndCursor: item.EndCursor, Truncated: item.Truncated})
	default:
		return nil
	}
}

func (o *batcher) flush() error {
	if len(o.lines) == 0 {
		return nil
	}
	batch := &launcher.LineBatch{Lines: o.lines}
	o.cursor = o.lines[len(o.lines)-1].Cursor
	o.lines, o.bytes = nil, 0
	return o.sink(batch)
}
