package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/shared/control"
)

func (a *app) serviceVerb() *cobra.Command {
	v := &cobra.Command{
		Use:   "service",
		Short: "List and restore platform services that were unloaded for a gateway",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	v.AddCommand(a.serviceListVerb(), a.serviceRestoreVerb())
	return v
}

// unloaded is a service with its gateway, for service list --json.
type unloaded struct {
	Gateway string `json:"gateway"`
	control.UnloadedService
}

func (a *app) serviceListVerb() *cobra.Command {
	var asJSON bool
	v := &cobra.Command{
		Use:               "list [NAME]",
		Short:             "List the services that were unloaded and not restored",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.gatewayNames,
		RunE: verb(func(ctx context.Context, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			gateways, err := gatewaysOf(ctx, client, args)
			if err != nil {
				return err
			}
			all := []unloaded{}
			for _, g := range gateways {
				for _, s := range g.UnloadedServices {
					all = append(all, unloaded{g.Name, s})
				}
			}
			if asJSON {
				return a.printJSON(all)
			}
			if len(all) == 0 {
				return a.print("no service is unloaded")
			}
			for _, s := range all {
				if err := a.print(clean(s.Gateway + ": " + serviceText(s.UnloadedService))); err != nil {
					return err
				}
				if err := a.print("  " + clean(restoreHint(s.Gateway, s.UnloadedService))); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	v.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return v
}

func gatewaysOf(ctx context.Context, client *control.Client, names []string) ([]control.Gateway, error) {
	if len(names) == 0 {
		st, err := client.Status(ctx)
		return st.Gateways, err
	}
	g, err := client.Gateway(ctx, names[0])
	return []control.Gateway{g}, err
}

// serviceText says what was unloaded, by which plugin, when and why.
func serviceText(s control.UnloadedService) string {
	text := fmt.Sprintf("the service %s was unloaded by %s at %s", s.ID, orUnknown(s.Plugin),
		s.At.Local().Format("2006-01-02 15:04:05"))
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	return text
}

// restoreHint says how a person brings a service back.
func restoreHint(gateway string, s control.UnloadedService) string {
	switch {
	case s.Restorable:
		return "run `gatehost service restore " + gateway + "` to load it again"
	case s.DisableCommand != "":
		return "its unloader gave no way back; to disable it for good: " + s.DisableCommand
	default:
		return "its unloader gave no way back; load it again in its own service manager"
	}
}

func (a *app) serviceRestoreVerb() *cobra.Command {
	var asJSON bool
	v := &cobra.Command{
		Use:   "restore NAME [ID]",
		Short: "Load again what was unloaded for a gateway: all its services, or the one with that ID",
		Long: "Load again what was unloaded for a gateway: all its services, or the one with that ID.\n" +
			"While gatehost supervises the gateway, both manage it: stop it first, or remove its unloader from `unload`.",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.gatewayNames,
		RunE: verb(func(ctx context.Context, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			var req control.RestoreServices
			if len(args) == 2 {
				req.ID = args[1]
			}
			out, err := client.RestoreServices(ctx, args[0], req)
			if err != nil {
				return err
			}
			return a.restored(args[0], out, asJSON)
		}),
	}
	v.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return v
}

// restored prints what became of each service; it fails when one could not be restored.
func (a *app) restored(name string, out control.RestoredServices, asJSON bool) error {
	var failed error
	for _, s := range out.Services {
		if s.Error != nil && failed == nil {
			failed = &coded{code: exitFailed, err: errors.New(s.Error.Message), hint: s.Error.Hint}
		} else if s.Error != nil {
			a.say("gatehost: %s", clean(s.Error.Message))
		}
		if s.Error == nil && !asJSON {
			if err := a.print(clean(name + ": restored the service " + s.ID)); err != nil {
				return err
			}
		}
	}
	if asJSON {
		if err := a.printJSON(out); err != nil {
			return err
		}
	} else if len(out.Services) == 0 {
		if err := a.print(name + ": no service is unloaded"); err != nil {
			return err
		}
	}
	if out.Note != "" && failed == nil {
		a.say("note: %s", clean(out.Note))
	}
	return failed
}
