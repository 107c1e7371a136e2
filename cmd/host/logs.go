package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/internal/stamp"
	"github.com/gatehost/gatehost/shared/control"
)

func (a *app) logsVerb() *cobra.Command {
	var q control.LogsQuery
	var since string
	var raw, asJSON bool
	v := &cobra.Command{
		Use:               "logs NAME",
		Short:             "Show the output of a gateway",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.gatewayNames,
		RunE: verb(func(ctx context.Context, args []string) error {
			from, err := parseSince(since, time.Now())
			if err != nil {
				return err
			}
			if from.cursor > 0 {
				return usage("--since takes a duration or an RFC 3339 time here")
			}
			if q.Tail < 0 {
				return usage("-n must not be negative")
			}
			q.Since = from.time
			return a.logs(ctx, args[0], q, raw, asJSON)
		}),
	}
	v.Flags().BoolVarP(&q.Follow, "follow", "f", false, "continue with new lines")
	v.Flags().IntVarP(&q.Tail, "lines", "n", 100, "the last `n` lines; 0: all that are stored")
	v.Flags().StringVar(&since, "since", "", "a duration or an RFC 3339 `time`")
	v.Flags().StringVar(&q.Level, "level", "", "only this `level` and above: debug, info, warn, error")
	v.Flags().BoolVar(&raw, "raw", false, "only the text, as the gateway wrote it")
	v.Flags().BoolVar(&asJSON, "json", false, "print each line as JSON")
	v.MarkFlagsMutuallyExclusive("raw", "json")
	return v
}

func (a *app) logs(ctx context.Context, name string, q control.LogsQuery, raw, asJSON bool) error {
	for l, err := range a.pastLogs(ctx, name, q) {
		if errors.Is(err, context.Canceled) {
			return nil // interrupted: that ends --follow
		}
		if err != nil {
			return err
		}
		if l.LostBytes > 0 && !asJSON {
			a.say("gatehost: %s of output are missing here: they were written faster than they could be read", lost(l))
			continue
		}
		line := l.Text
		switch {
		case asJSON:
			data, err := json.Marshal(l)
			if err != nil {
				return fmt.Errorf("cannot encode a line: %w", err)
			}
			line = string(data)
		case raw && !a.terminal:
		default:
			line = clean(line)
		}
		if !raw && !asJSON {
			line = fmt.Sprintf("%s %-5s %s", l.Time.Local().Format("15:04:05.000"), strings.ToUpper(l.Level),
				stamp.Trim(line))
		}
		if err := a.print(line); err != nil {
			return err
		}
	}
	return nil
}

func lost(l control.LogLine) string {
	if l.LostLines > 0 {
		return fmt.Sprintf("%d lines (%d bytes)", l.LostLines, l.LostBytes)
	}
	return fmt.Sprintf("%d bytes", l.LostBytes)
}

// pastLogs asks the host, or the journal when no host runs, or it does not answer.
func (a *app) pastLogs(ctx context.Context, name string, q control.LogsQuery) iter.Seq2[control.LogLine, error] {
	return func(yield func(control.LogLine, error) bool) {
		client, err := a.client()
		if err != nil {
			yield(control.LogLine{}, err)
			return
		}
		defer client.Close()
		any := false
		for l, err := range client.Logs(ctx, name, q) {
			if !unheard(err) || q.Follow || any {
				any = true
				if !yield(l, err) {
					return
				}
				continue
			}
			h, err := a.written(err)
			var lines []control.LogLine
			if err == nil {
				lines, err = h.Logs(name, q)
			}
			for _, l := range lines {
				if !yield(l, nil) {
					return
				}
			}
			if err != nil {
				yield(control.LogLine{}, err)
			}
			return
		}
	}
}
