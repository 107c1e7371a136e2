package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/shared/control"
)

func (a *app) statusVerb() *cobra.Command {
	var asJSON, watch bool
	v := &cobra.Command{
		Use:               "status [NAME]",
		Short:             "Show the state of all gateways, or of one in detail",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.gatewayNames,
		RunE: verb(func(ctx context.Context, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			if watch {
				return a.watch(ctx, client, name, asJSON)
			}
			return a.status(ctx, client, name, asJSON)
		}),
	}
	v.Flags().BoolVar(&asJSON, "json", false, "print JSON (schema: docs/reference/api.md)")
	v.Flags().BoolVar(&watch, "watch", false, "show it again whenever something changes")
	return v
}

func (a *app) status(ctx context.Context, client *control.Client, name string, asJSON bool) error {
	if name != "" {
		g, err := client.Gateway(ctx, name)
		switch {
		case err != nil:
			return err
		case asJSON:
			return a.printJSON(g)
		default:
			return a.print(detail(g))
		}
	}
	st, err := client.Status(ctx)
	switch {
	case err != nil:
		return err
	case asJSON:
		return a.printJSON(st)
	default:
		return a.print(overview(st))
	}
}

// watch shows the status now and after every change, until it is interrupted.
func (a *app) watch(ctx context.Context, client *control.Client, name string, asJSON bool) error {
	show := func() error {
		if a.terminal && !asJSON {
			_, _ = fmt.Fprint(a.stdout, "\x1b[H\x1b[2J")
		}
		return a.status(ctx, client, name, asJSON)
	}
	if err := show(); err != nil {
		return err
	}
	for e, err := range client.Events(ctx, control.EventsQuery{Gateway: name, Reconnect: time.Minute}) {
		switch {
		case errors.Is(err, context.Canceled):
			return nil
		case err != nil:
			return err
		case e.Type == control.EventGatewayOutput, e.Type == control.EventGatewayEvent:
			continue
		}
		if err := show(); err != nil && !errors.Is(err, control.ErrNoHost) { // wait until the host runs again
			return err
		}
	}
	return nil
}

// overview returns a line for each gateway with its problems, then the plugins with problems.
func overview(st control.Status) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NAME\tSTATE\tPID\tPORT\tVERSION\tUPTIME\tRESTARTS")
	for _, g := range st.Gateways {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%d\n", g.Name, stateWord(g), number(g.PID), g.Port,
			dash(g.Version), uptime(g), g.Restarts)
	}
	_ = w.Flush()
	for _, c := range st.Host.Conditions {
		fmt.Fprintf(&b, "host: %s: %s\n", c.Code, clean(c.Message))
		b.WriteString(hintLine(c.Hint))
	}
	if n := st.Host.LogDropped; n > 0 {
		fmt.Fprintf(&b, "host: log: %d lines were dropped, because its terminal, pipe or file did not take them\n", n)
	}
	for _, g := range st.Gateways {
		b.WriteString(troubles(g, g.Name+": "))
	}
	for _, p := range st.Plugins {
		if p.State == "running" && p.Error == nil {
			b.WriteString(unused(p, "plugin "+p.Name))
			continue
		}
		fmt.Fprintf(&b, "plugin %s: %s", p.Name, p.State)
		if p.Error != nil {
			fmt.Fprintf(&b, ": %s\n", clean(p.Error.Message))
			b.WriteString(hintLine(p.Error.Hint))
		} else {
			b.WriteString("\n")
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

func stateWord(g control.Gateway) string {
	s := g.State
	switch {
	case g.State != control.StateRunning && g.Phase != "" && g.Phase != g.State:
		s += " (" + g.Phase + ")"
	case g.Owner == "attached":
		s += " (attached)"
	case g.Adopted:
		s += " (adopted)"
	}
	return s
}

func number(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return clean(s)
}

func uptime(g control.Gateway) string {
	if g.UptimeMs == nil {
		return "-"
	}
	return elapsedMs(g.UptimeMs)
}

// troubles lists the problems of a gateway, a line each, with hints.
func troubles(g control.Gateway, prefix string) string {
	var b strings.Builder
	if g.Error != nil {
		fmt.Fprintf(&b, "%serror: %s\n", prefix, clean(g.Error.Message))
		b.WriteString(hintLine(g.Error.Hint))
	}
	for _, c := range g.Conditions {
		fmt.Fprintf(&b, "%s%s: %s\n", prefix, c.Code, clean(c.Message))
		b.WriteString(hintLine(c.Hint))
	}
	for _, s := range g.UnloadedServices {
		fmt.Fprintf(&b, "%sservice-unloaded: %s\n", prefix, clean(serviceText(s)))
		b.WriteString(hintLine(restoreHint(g.Name, s)))
	}
	return b.String()
}

func hintLine(hint string) string {
	if hint == "" {
		return ""
	}
	return "  hint: " + clean(hint) + "\n"
}

// detail returns everything about one gateway.
func detail(g control.Gateway) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(key, format string, args ...any) {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", key, clean(fmt.Sprintf(format, args...)))
	}
	row("name", "%s", g.Name)
	row("state", "%s", stateWord(g))
	row("owner", "%s", g.Owner)
	row("pid", "%s", number(g.PID))
	row("port", "%d", g.Port)
	row("version", "%s", dash(g.Version))
	row("uptime", "%s", uptime(g))
	row("restarts", "%d", g.Restarts)
	if f := g.Files; f != nil {
		row("config", "%s (by %s)", f.Config, f.DecidedBy)
		if f.StateDir != "" {
			row("state dir", "%s", f.StateDir)
		}
		if f.Auth != "" {
			row("clients by", "%s", f.Auth)
		}
		if len(f.Includes) > 0 {
			row("includes", "%s", strings.Join(f.Includes, " "))
		}
	}
	if h := g.Health; h != nil {
		row("health", "%s", healthWord(h))
	}
	if r := g.Reconnect; r != nil {
		row("reconnects", "%s", reconnectText(r))
	}
	row("plugins", "launcher %s, doctors %s, classifiers %s", g.Launcher, names(g.Doctors), names(g.Classifiers))
	if o := g.Output; o != nil {
		parts := []string{fmt.Sprintf("%d lines", o.Read)}
		for _, part := range []struct {
			n    uint64
			what string
		}{
			{o.Unclassified, "not classified"},
			{o.Dropped, "not in the journal"},
			{o.DroppedEvents, "events not in the journal"},
			{o.LostLines, "lost before they could be read"},
		} {
			if part.n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
			}
		}
		row("output", "%s", strings.Join(parts, ", "))
	}
	if s := g.Session; s != nil {
		row("session", "protocol %d, %s", s.Protocol, dash(s.ConnID))
	}
	if x := g.LastExit; x != nil {
		row("last exit", "%s at %s", exitText(x), x.At.Local().Format(time.DateTime))
		for _, line := range x.Tail {
			row("", "| %s", line)
		}
	}
	if s := g.LastStart; s != nil {
		row("last start", "%s in %s", dash(s.Outcome), elapsedMs(s.TotalMs))
		for _, st := range s.Stages {
			row("", "%s at %s for %s %s", st.Name, elapsedMs(&st.StartMs), elapsedMs(st.Ms), st.Detail)
		}
		for _, line := range traceLines(s.Trace) {
			row("", "%s", line)
		}
	}
	_ = w.Flush()
	b.WriteString(troubles(g, ""))
	return strings.TrimRight(b.String(), "\n")
}

func reconnectText(r *control.Reconnect) string {
	text := fmt.Sprintf("%d of %d attempts succeeded", r.Successes, r.Attempts)
	if r.LastCause != "" {
		text += ", last for " + r.LastCause
	}
	if !r.NextAt.IsZero() {
		text += ", next at " + r.NextAt.Local().Format(time.TimeOnly)
	}
	return text
}

// traceLines lists the slowest stages that the gateway reported.
func traceLines(t *control.Trace) []string {
	if t == nil {
		return nil
	}
	out := []string{fmt.Sprintf("%d stages of its own in %.1fs, the slowest:", t.Count, t.TotalMs/1000)}
	for _, s := range t.Slowest[:min(len(t.Slowest), 5)] {
		out = append(out, fmt.Sprintf("  %s took %.0f ms", s.Name, s.Ms))
	}
	return out
}

func names(l []string) string {
	if len(l) == 0 {
		return "none"
	}
	return strings.Join(l, " ")
}
