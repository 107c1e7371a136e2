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

func (a *app) healthVerb() *cobra.Command {
	var probe, asJSON bool
	v := &cobra.Command{
		Use:   "health NAME",
		Short: "Check the health of a gateway",
		Long: "Ask a gateway for its health and status, for at most 3 s, and show the state of its capabilities.\n" +
			"With --probe wait up to 8 s, and also ask its router. Exit code 0: the transport works; a slow\n" +
			"capability is shown and changes nothing.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.gatewayNames,
		RunE: verb(func(ctx context.Context, args []string) error {
			return a.health(ctx, args[0], probe, asJSON)
		}),
	}
	v.Flags().BoolVar(&probe, "probe", false, "wait longer, and also ask the router")
	v.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return v
}

func (a *app) health(ctx context.Context, name string, probe, asJSON bool) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second) // the host's own bounds are below
	defer cancel()
	client, err := a.client()
	if err != nil {
		return err
	}
	defer client.Close()
	got, err := client.GatewayHealth(ctx, name, probe)
	if err != nil {
		return err
	}
	if asJSON {
		err = a.printJSON(got)
	} else {
		err = a.print(healthText(got))
	}
	if err == nil && !got.OK {
		err = &coded{
			code: exitFailed, err: errors.New("the gateway does not answer"),
			hint: "run `gatehost status " + name + "`",
		}
	}
	return err
}

func healthText(c control.HealthCheck) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	h := c.Health
	if h == nil {
		h = &control.GatewayHealth{State: control.HealthUnknown}
	}
	_, _ = fmt.Fprintf(w, "health\t%s\n", healthWord(h))
	_, _ = fmt.Fprintf(w, "ready\t%s\n", yesNo(c.Ready))
	_, _ = fmt.Fprintf(w, "core\tprocess %s, transport %s, router %s\n", clean(h.Core.Process),
		clean(h.Core.Transport), clean(h.Core.Router))
	for _, name := range []string{"health", "status", "presence", "channels", "memory"} {
		one := h.Capabilities[name]
		text := dash(one.State)
		if one.Error != "" {
			text += ": " + one.Error
		}
		if one.Ms != nil {
			text += " in " + elapsedMs(one.Ms)
		}
		if !one.At.IsZero() {
			text += " at " + one.At.Local().Format(time.TimeOnly)
		}
		_, _ = fmt.Fprintf(w, "  %s\t%s\n", name, clean(text))
	}
	_ = w.Flush()
	return strings.TrimRight(b.String(), "\n")
}

func healthWord(h *control.GatewayHealth) string {
	if len(h.Reasons) == 0 {
		return dash(h.State)
	}
	return clean(h.State + " (" + strings.Join(h.Reasons, ", ") + ")")
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
