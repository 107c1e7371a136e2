package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/shared/control"
)

// command holds what start, stop, restart and reload have in common.
type command struct {
	app     *app
	action  control.Action
	all     bool
	timeout time.Duration
	noWait  bool
	reason  string
	json    bool
	now     bool
	drain   bool
	extern  bool
	force   bool

	debounce bool
	delay    time.Duration
}

func (a *app) commandVerb(action control.Action, short string) (*cobra.Command, *command) {
	c := &command{app: a, action: action}
	v := &cobra.Command{
		Use:   string(action) + " NAME|--all",
		Short: short,
		Args: func(_ *cobra.Command, args []string) error {
			if c.all != (len(args) == 0) || len(args) > 1 {
				return errors.New("name one gateway, or use --all")
			}
			return nil
		},
		ValidArgsFunction: a.gatewayNames,
		RunE:              verb(c.run),
	}
	f := v.Flags()
	f.BoolVar(&c.all, "all", false, "every gateway of the host")
	f.DurationVar(&c.timeout, "timeout", 0, "wait at most this long (default: as long as there is progress)")
	f.BoolVar(&c.noWait, "no-wait", false, "do not wait for the outcome")
	f.StringVar(&c.reason, "reason", "", "`text` for events and logs")
	f.BoolVar(&c.json, "json", false, "print the outcome as JSON")
	if action == control.ActionRestart || action == control.ActionReload {
		f.BoolVar(&c.debounce, "debounce", false,
			"first wait for further requests of this kind, as configured; a stopped gateway is not started")
		f.DurationVar(&c.delay, "delay", 0, "the same, for this `duration`")
	}
	v.MarkFlagsMutuallyExclusive("timeout", "no-wait")
	return v, c
}

// result is the outcome for one gateway.
type result struct {
	Name string `json:"name"`
	control.Outcome
	err error
}

func (c *command) run(ctx context.Context, args []string) error {
	if c.timeout < 0 || c.delay < 0 {
		return usage("--timeout and --delay must not be negative")
	}
	client, err := c.app.client()
	if err != nil {
		return err
	}
	defer client.Close()
	names := args
	if c.all {
		st, err := client.Status(ctx)
		if err != nil {
			return err
		}
		for _, g := range st.Gateways {
			names = append(names, g.Name)
		}
	}
	if c.timeout > 0 { // a host that does not even answer
		bounded, cancel := context.WithTimeout(ctx, c.timeout+10*time.Second)
		defer cancel()
		ctx = bounded
	}
	results := make([]result, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { results[i] = c.one(ctx, client, name) })
	}
	all.Wait()
	return c.report(results)
}

func (c *command) one(ctx context.Context, client *control.Client, name string) result {
	talking, quiet := context.WithCancel(ctx)
	defer quiet()
	var talk sync.WaitGroup
	if !c.noWait {
		talk.Go(func() { c.app.narrate(talking, client, name) })
	}
	out, err := client.Do(ctx, name, c.action, control.Options{
		Reason: c.reason, Wait: c.timeout, NoWait: c.noWait, Now: c.now, Drain: c.drain, External: c.extern, Force: c.force,
		Debounce: c.debounce, Delay: c.delay,
	})
	quiet()
	talk.Wait()
	return result{Name: name, Outcome: out, err: err}
}

// report prints the outcomes; the exit code is that of the first gateway that failed.
func (c *command) report(results []result) error {
	var first error
	for i, r := range results {
		err := r.failure(c.action)
		if err != nil && first == nil {
			first = err
		} else if err != nil {
			c.app.tell(err, codeOf(err))
		}
		if r.err != nil && results[i].Outcome.Outcome == "" {
			results[i].Outcome = control.Outcome{Outcome: control.OutcomeFailed, Error: asFailure(r.err)}
		}
		if err == nil && !c.json {
			if err := c.app.print(r.String()); err != nil {
				return err
			}
		}
	}
	if c.json {
		var v any = results
		if !c.all {
			v = results[0]
		}
		if err := c.app.printJSON(v); err != nil {
			return err
		}
	}
	return first
}

// failure returns nil when the command succeeded.
func (r result) failure(action control.Action) error {
	what := fmt.Sprintf("cannot %s %s", action, r.Name)
	switch {
	case r.err != nil:
		return r.err
	case r.Outcome.Outcome == control.OutcomeFailed, r.Outcome.Outcome == control.OutcomeSuperseded:
		e := &coded{code: exitFailed, err: errors.New(what)}
		if r.Outcome.Outcome == control.OutcomeSuperseded {
			e.code, e.err = exitSuperseded, fmt.Errorf("%s: superseded by a later command", what)
		}
		if f := r.Error; f != nil {
			e.err, e.hint = fmt.Errorf("%s: %s", what, f.Message), f.Hint
		}
		if g := r.Gateway; action == control.ActionStop && g != nil && g.PID > 0 {
			e.err = fmt.Errorf("%w; its process lives on: pid %d", e.err, g.PID)
		}
		return e
	default:
		return nil
	}
}

func asFailure(err error) *control.Failure {
	if p, ok := errors.AsType[*control.Problem](err); ok {
		return &control.Failure{Code: p.Code, Message: p.Error(), Hint: p.Hint}
	}
	return &control.Failure{Code: "failed", Message: err.Error()}
}

// MarshalJSON puts the fields of the embedded Outcome next to the name.
func (r result) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name    string           `json:"name"`
		Outcome string           `json:"outcome"`
		Error   *control.Failure `json:"error,omitempty"`
		TookMs  int64            `json:"tookMs"`
		Gateway *control.Gateway `json:"gateway,omitempty"`
	}{r.Name, r.Outcome.Outcome, r.Error, r.TookMs, r.Gateway})
}

// String returns "main running pid=4242 port=18789 version=2026.9.6 (7.1s)".
func (r result) String() string {
	if r.Outcome.Outcome == control.OutcomeAccepted {
		return r.Name + " accepted"
	}
	if r.Outcome.Outcome == control.OutcomeDetached {
		return fmt.Sprintf("%s detached: gatehost did not start this gateway, and it runs on; "+
			"end it where it was started (%s)", r.Name, elapsed(time.Duration(r.TookMs)*time.Millisecond))
	}
	s := r.Name
	if g := r.Gateway; g != nil {
		s += " " + g.State
		if g.PID > 0 {
			s += fmt.Sprintf(" pid=%d", g.PID)
		}
		if g.State == control.StateRunning {
			s += fmt.Sprintf(" port=%d version=%s", g.Port, clean(orUnknown(g.Version)))
		}
	}
	if r.Outcome.Outcome != control.OutcomeApplied {
		s += " " + r.Outcome.Outcome
	}
	return s + " (" + elapsed(time.Duration(r.TookMs)*time.Millisecond) + ")"
}

// patience is how long a wait is silent.
const patience = 2 * time.Second

// narrate prints to stderr, when a wait is longer than patience, the phase of each gateway and how long it has been
// waited for; until ctx is done.
func (a *app) narrate(ctx context.Context, client *control.Client, name string) {
	began := time.Now()
	stage := make(chan string, 1) // 1: only the newest counts
	var reading sync.WaitGroup
	defer reading.Wait()
	reading.Go(func() {
		for e, err := range client.Events(ctx, control.EventsQuery{Gateway: name}) {
			if err != nil {
				return // the command itself will say what is wrong
			}
			if e.Type != control.EventGatewayState {
				continue
			}
			word, text, _ := describeState(data[control.StateData](e))
			select {
			case <-stage:
			default:
			}
			stage <- word + " " + text
		}
	})
	now, told := "waiting", ""
	tick := time.NewTicker(patience)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now = <-stage:
		case <-tick.C:
		}
		if time.Since(began) < patience || now == told {
			continue
		}
		told = now
		a.say("%s: %s, waited %s", name, clean(now), elapsed(time.Since(began)))
	}
}
