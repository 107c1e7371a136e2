package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/host"
)

func (a *app) pluginSealVerb() *cobra.Command {
	var asJSON bool
	v := &cobra.Command{
		Use: "seal DIR",
		Short: "Seal a plugin: write the checksums of its files into its plugin.toml, so that hosts refuse any " +
			"other files",
		Args: cobra.ExactArgs(1),
		RunE: verb(func(ctx context.Context, args []string) error {
			sealed, err := host.SealPlugin(ctx, args[0])
			switch {
			case err != nil:
				return err
			case asJSON:
				return a.printJSON(sealed)
			default:
				return a.print(sealText(sealed))
			}
		}),
	}
	v.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return v
}

func sealText(s host.Sealed) string {
	var b strings.Builder
	for _, e := range s.Entries {
		change := ""
		switch e.Before {
		case "":
			change = "  new"
		case e.Sum:
		default:
			change = "  changed"
		}
		fmt.Fprintf(&b, "%s  %s%s\n", e.Sum, clean(e.Name), change)
	}
	for _, name := range s.Gone {
		fmt.Fprintf(&b, "%s no longer exists and was removed\n", clean(name))
	}
	fmt.Fprintf(&b, "%s is sealed; its sha256, for a pin: %s", clean(s.Path), s.SHA256)
	return b.String()
}
