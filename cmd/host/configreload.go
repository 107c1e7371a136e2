package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/shared/control"
)

func (a *app) configReloadVerb() *cobra.Command {
	var req control.ReloadRequest
	var asJSON bool
	v := &cobra.Command{
		Use:   "reload",
		Short: "Make the running host read its configuration again",
		Long: "Make the running host read the configuration file that it was started with again. Running gateways\n" +
			"continue: plugins are started, reconfigured, replaced or stopped, settings of gateways apply at\n" +
			"once, and settings of a process apply to its next start. A file with errors changes nothing. SIGHUP\n" +
			"to the host does the same.",
		Args: cobra.NoArgs,
		RunE: verb(func(ctx context.Context, _ []string) error { return a.reloadConfig(ctx, req, asJSON) }),
	}
	v.Flags().BoolVar(&req.DryRun, "dry-run", false, "only print what would be done")
	v.Flags().BoolVar(&req.Remove, "remove", false, "stop and remove gateways that the file no longer has")
	v.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return v
}

func (a *app) reloadConfig(ctx context.Context, req control.ReloadRequest, asJSON bool) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	defer client.Close()
	r, err := client.ReloadConfig(ctx, req)
	if p, ok := errors.AsType[*control.Problem](err); ok && p.Code == control.CodeBadConfig {
		if asJSON {
			if err := a.printJSON(control.Reload{Outcome: control.ReloadRefused, Faults: p.Faults}); err != nil {
				return err
			}
		}
		return &coded{code: exitConfig, err: p, hint: p.Hint, silent: asJSON}
	}
	switch {
	case err != nil:
		return err
	case asJSON:
		err = a.printJSON(r)
	default:
		err = a.tellReload(r)
	}
	if err == nil && r.Outcome == control.ReloadPartly {
		return &coded{
			code: exitFailed, err: errors.New("a part of the configuration was not applied"),
			silent: asJSON, hint: "correct the errors above and reload again",
		}
	}
	return err
}

func (a *app) tellReload(r control.Reload) error {
	name := r.Config
	if name == "" {
		name = "the defaults"
	}
	if r.Outcome == control.ReloadUnchanged {
		return a.print(clean(name) + ": nothing has changed")
	}
	return a.print(fmt.Sprintf("%s: %s, %s\n%s", clean(name), r.Outcome, count(len(r.Changes), "change"),
		reloadTable(r.Changes)))
}

func reloadTable(changes []control.ReloadChange) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, c := range changes {
		what := strings.TrimSpace(c.Scope + " " + c.Name)
		rest := strings.Join(c.Keys, " ")
		if c.Detail != "" {
			rest = strings.TrimSpace(rest + " (" + c.Detail + ")")
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", clean(what), c.Action, c.Result, clean(rest))
	}
	_ = w.Flush()
	for _, c := range changes {
		if c.Error != nil {
			fmt.Fprintf(&b, "%s: %s\n%s", clean(c.Name), clean(c.Error.Message), hintLine(c.Error.Hint))
		}
	}
	return strings.TrimRight(b.String(), "\n")
}
