package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/shared/control"
)

func (a *app) eventsVerb() *cobra.Command {
	var follow, asJSON bool
	var since string
	v := &cobra.Command{
		Use:   "events [NAME]",
		Short: "Show past events, or follow new ones",
		Long: "Show the events that the host remembers and exit; with --follow, show new events, or those from\n" +
			"--since on: a duration (10m), an RFC 3339 time or a cursor. Events from before the host started, and\n" +
			"all events when no host runs, come from the journal in the state directory.",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.gatewayNames,
		RunE: verb(func(ctx context.Context, args []string) error {
			q := control.EventsQuery{Once: !follow, FromStart: !follow}
			if len(args) == 1 {
				q.Gateway = args[0]
			}
			if follow {
				q.Reconnect = 30 * time.Second
			}
			from, err := parseSince(since, time.Now())
			if err != nil {
				return err
			}
			if from.cursor > 0 {
				q.After, q.FromStart = from.cursor, false
			}
			q.Since = from.time
			return a.events(ctx, q, asJSON)
		}),
	}
	v.Flags().BoolVarP(&follow, "follow", "f", false, "continue with new events")
	v.Flags().StringVar(&since, "since", "", "a duration, an RFC 3339 time or a `cursor`")
	v.Flags().BoolVar(&asJSON, "json", false, "print each event as a line of JSON")
	return v
}

// moment is where to begin: exactly one field is set.
type moment struct {
	cursor uint64
	time   time.Time
}

func parseSince(s string, now time.Time) (moment, error) {
	if s == "" {
		return moment{}, nil
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil && n > 0 {
		return moment{cursor: n}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return moment{time: now.Add(-d)}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return moment{time: t}, nil
	}
	return moment{}, usage("--since %q is not a duration, an RFC 3339 time or a cursor", s)
}

func (a *app) events(ctx context.Context, q control.EventsQuery, asJSON bool) error {
	for e, err := range a.pastEvents(ctx, q) {
		if errors.Is(err, context.Canceled) {
			return nil // interrupted: that ends --follow
		}
		if err != nil {
			return err
		}
		if e.Type == control.EventDropped {
			d := data[control.DroppedData](e)
			if d.Reset {
				a.say("gatehost: earlier events are no longer stored")
			}
			if d.Dropped > 0 {
				a.say("gatehost: %d events are missing here", d.Dropped)
			}
			continue
		}
		if e.Time.Before(q.Since.Truncate(time.Millisecond)) {
			continue // a host that does not know since as a time sends everything that it has
		}
		line, err := eventLine(e, asJSON)
		if err != nil {
			return err
		}
		if err := a.print(line); err != nil {
			return err
		}
	}
	return nil
}

// pastEvents asks the host. When none runs, it reads the journal; there is nothing to follow then.
func (a *app) pastEvents(ctx context.Context, q control.EventsQuery) iter.Seq2[control.Event, error] {
	return func(yield func(control.Event, error) bool) {
		client, err := a.client()
		if err != nil {
			yield(control.Event{}, err)
			return
		}
		defer client.Close()
		any := false
		for e, err := range client.Events(ctx, q) {
			if unheard(err) && q.Once && !any {
				for e, err := range a.writtenEvents(q, err) {
					if !yield(e, err) {
						return
					}
				}
				return
			}
			any = true
			if !yield(e, err) {
				return
			}
		}
	}
}

// unheard reports whether an error means that no host says anything: what it wrote may be read instead.
func unheard(err error) bool {
	return errors.Is(err, control.ErrNoHost) || errors.Is(err, control.ErrSilent)
}

func (a *app) writtenEvents(q control.EventsQuery, noHost error) iter.Seq2[control.Event, error] {
	h, err := a.written(noHost)
	if err != nil {
		return func(yield func(control.Event, error) bool) { yield(control.Event{}, err) }
	}
	return h.Events(q.Gateway, q.After, q.Since)
}

// written opens the journal of a host that does not run, or does not answer. It returns noHost when there is none, or
// another host was meant.
func (a *app) written(noHost error) (history, error) {
	if a.socket != "" {
		return nil, noHost // a host that was named by its socket: its journal is unknown
	}
	s, err := a.load(a.config)
	if err != nil {
		return nil, configError(err)
	}
	if s.history.Empty() {
		return nil, noHost
	}
	why := "no host runs"
	if errors.Is(noHost, control.ErrSilent) {
		why = clean(noHost.Error())
	}
	a.say("gatehost: %s; reading the journal in %s", why, s.history.Dir())
	return s.history, nil
}

func eventLine(e control.Event, asJSON bool) (string, error) {
	if asJSON {
		data, err := json.Marshal(e)
		if err != nil {
			return "", fmt.Errorf("cannot encode an event: %w", err)
		}
		return string(data), nil
	}
	who := e.Gateway
	if who == "" {
		who = e.Plugin
	}
	line := fmt.Sprintf("%s %-8s %s", e.Time.Local().Format("15:04:05.000"), dash(who), e.Type)
	if word, text, hint := describe(e); word != "" {
		line += " " + strings.TrimSpace(word+" "+text)
		if hint != "" {
			line += " (" + hint + ")"
		}
	} else if len(e.Data) > 0 {
		line += " " + string(e.Data)
	}
	return clean(line), nil
}
