package gatewayconfig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gatehost/gatehost/shared/fault"
)

// Presence says whether a gateway can be asked.
type Presence int

// The presences.
const (
	Offline Presence = iota + 1 // no process of it is known to run: its file is edited
	Between                     // it runs, or is about to, and cannot be asked yet
	Online                      // a session is open
)

// Gateway gives access to the gateway. Its methods are called concurrently.
type Gateway interface {
	Presence() Presence
	// Call calls a method. The gateway's own error is a *frame.Error; with ErrNoSession nothing was sent; after any
	// other error the gateway may have executed the call.
	Call(ctx context.Context, method string, params json.RawMessage) (json.RawMessage, error)
}

// ErrNoSession is the error of a call that was never sent.
var ErrNoSession = errors.New("the gateway has no session")

// Options of an editor; Gateway, Path and Dir are needed.
type Options struct {
	Gateway Gateway
	Path    func() (string, error) // of the configuration file, when the gateway does not say it
	Dir     string                 // for copies; created with the first one
	// Roots returns the directories besides that of the file from which it may include others; nil: none.
	Roots func() []string

	Wait        time.Duration // to wait for a gateway between two states; default 30 s
	CallTimeout time.Duration // default 30 s
	Settle      time.Duration // for the file to prove a change whose answer was lost; default 5 s
	Poll        time.Duration // default 100 ms
	Keep        int           // copies; default 20
	Now         func() time.Time
}

// Editor edits the configuration of one gateway. Safe for concurrent use.
type Editor struct {
	o     Options
	since time.Time     // records from before it are those of earlier hosts
	queue chan struct{} // 1: the goroutine that has sent may edit
}

// New makes an editor.
func New(o Options) *Editor {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&o.Wait, 30*time.Second)
	set(&o.CallTimeout, 30*time.Second)
	set(&o.Settle, 5*time.Second)
	set(&o.Poll, 100*time.Millisecond)
	if o.Keep <= 0 {
		o.Keep = 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Roots == nil {
		o.Roots = func() []string { return nil }
	}
	return &Editor{o: o, since: o.Now(), queue: make(chan struct{}, 1)}
}

// Mutator changes a configuration in place: objects are map[string]any, lists []any, numbers json.Number. It may be
// called again, with the configuration of that moment, and must do nothing else. It may call Edit of the same
// editor with its ctx, and wait for it: that changes the same configuration, within the same edit. An error ends
// the edit; nothing is written.
type Mutator func(ctx context.Context, config map[string]any) error

// How says how to edit.
type How struct {
	DropComments bool // a running gateway writes its file without comments: edit it nevertheless
	// Launching: the caller is about to launch the gateway and knows that no process of it runs. The file is edited
	// at once, without waiting for other edits: those may wait for the launch. Each edit compares the file before
	// it writes, which keeps them apart.
	Launching bool
	// Path is the file to edit, for a caller that knows it; "" asks Options.Path.
	Path string
}

// The ways to edit or read.
const (
	ByGateway = "gateway" // the gateway was asked
	ByFile    = "file"
)

// Result says what an edit did. Without Changes nothing was written.
type Result struct {
	By      string
	Path    string // of the file; "" when the gateway does not say it
	Changes []Change
	// RequiresRestart: the gateway restarts itself for the change, and the session ends for that time. nil:
	// unknown. A stopped gateway needs none.
	RequiresRestart *bool
	Settled         bool   // the answer was lost, and the file proves the change
	Copy            string // the id of the copy that undo restores; "": there is none
	Nested          bool   // part of an edit that continues
}

// transaction is an edit under way, for the edits nested in it.
type transaction struct {
	config map[string]any
	how    *How
	err    error // of a nested mutator: what it left must not be written
	open   atomic.Bool
}

type inEdit struct{ e *Editor }

var (
	errConflict = errors.New("changed by another program meanwhile")
	errSwitched = errors.New("the gateway has started or stopped meanwhile")
)

// maxSwitches bounds how often an edit changes from one way to the other: a gateway that starts and stops faster is
// broken.
const maxSwitches = 5

// Edit changes the configuration. Cancelling ctx cancels the edit until something was written. Errors: the
// mutator's, fault.Conflict (another program wrote twice, or a value is not what it was), fault.FailedPrecondition
// (the configuration cannot be read, would lose comments, or the gateway rejects the new one), fault.Unavailable.
func (e *Editor) Edit(ctx context.Context, how How, m Mutator) (Result, error) {
	if tx, ok := ctx.Value(inEdit{e}).(*transaction); ok && tx.open.Load() {
		tx.how.DropComments = tx.how.DropComments || how.DropComments
		if err := m(ctx, tx.config); err != nil {
			tx.err = err
			return Result{}, err
		}
		return Result{Nested: true}, nil
	}
	if !how.Launching {
		leave, err := e.enter(ctx)
		if err != nil {
			return Result{}, err
		}
		defer leave()
	}
	return e.edit(ctx, how, m, true)
}

func (e *Editor) enter(ctx context.Context) (leave func(), err error) {
	select {
	case e.queue <- struct{}{}:
		return func() { <-e.queue }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (e *Editor) edit(ctx context.Context, how How, m Mutator, keep bool) (Result, error) {
	conflicts, switches := 0, 0
	for {
		where, err := Offline, error(nil)
		if !how.Launching {
			where, err = e.settled(ctx)
		}
		if err != nil {
			return Result{}, err
		}
		var r Result
		if where == Online {
			r, err = e.editRunning(ctx, how, m, keep)
		} else {
			r, err = e.editFile(ctx, how, m, keep)
		}
		switch {
		case errors.Is(err, errSwitched) && switches < maxSwitches:
			switches++
		case errors.Is(err, errSwitched):
			return Result{}, unavailable("the gateway starts and stops")
		case errors.Is(err, errConflict) && conflicts == 0:
			conflicts++
		case errors.Is(err, errConflict):
			return Result{}, fault.New(fault.Conflict,
				"cannot change the configuration: another program has changed it twice meanwhile").
				WithHint("find out which program writes it, then try again; nothing was overwritten")
		default:
			return r, err
		}
	}
}

// settled waits until the gateway can be asked, or does not run.
func (e *Editor) settled(ctx context.Context) (Presence, error) {
	tick := time.NewTicker(e.o.Poll)
	defer tick.Stop()
	limit := time.NewTimer(e.o.Wait)
	defer limit.Stop()
	for {
		if p := e.o.Gateway.Presence(); p != Between {
			return p, nil
		}
		select {
		case <-tick.C:
		case <-limit.C:
			return 0, unavailable("the gateway runs and has no session")
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

func unavailable(why string) error {
	f := fault.New(fault.Unavailable, "cannot change the configuration: "+why)
	f.Retryable = true
	return f.WithHint("try again when it is running, or stop it first: then its file is edited")
}

// apply runs a mutator on a copy of a configuration.
func (e *Editor) apply(ctx context.Context, how *How, m Mutator, config map[string]any) (map[string]any, error) {
	draft, err := normalize(config)
	if err != nil {
		return nil, err
	}
	tx := &transaction{how: how}
	tx.config, _ = draft.(map[string]any)
	tx.open.Store(true)
	defer tx.open.Store(false)
	if err := m(context.WithValue(ctx, inEdit{e}, tx), tx.config); err != nil {
		return nil, err
	}
	if tx.err != nil {
		return nil, tx.err
	}
	after, err := normalize(tx.config)
	if err != nil {
		return nil, fmt.Errorf("cannot change the configuration: %w", err)
	}
	out, _ := after.(map[string]any)
	return out, nil
}
