package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/host"
)

func (a *app) pluginPinVerb() *cobra.Command {
	var all, show, asJSON bool
	v := &cobra.Command{
		Use:   "pin NAME... | --all",
		Short: "Pin plugins: write their checksums into the configuration, so that the host refuses any other file",
		RunE: verb(func(ctx context.Context, names []string) error {
			if all == (len(names) > 0) {
				return usage("name plugins, or use --all")
			}
			pins, err := host.PinPlugins(ctx, a.config, names, !show)
			switch {
			case err != nil:
				return err
			case asJSON:
				return a.printJSON(pins)
			}
			for _, p := range pins {
				if err := a.print(clean(pinText(p, show))); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	v.Flags().BoolVar(&all, "all", false, "all plugins that a gateway uses")
	v.Flags().BoolVar(&show, "print", false, "only print what would be written")
	v.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return v
}

func pinText(p host.Pin, show bool) string {
	if show {
		return fmt.Sprintf("[plugins.%s] sha256 = %q  # %s", p.Plugin, p.SHA256, p.Path)
	}
	text := fmt.Sprintf("%s pinned to %s (%s)", p.Plugin, p.SHA256, p.Path)
	switch {
	case strings.EqualFold(p.Before, p.SHA256):
		return text + ", as before"
	case p.Before != "":
		return text + ", before: " + p.Before
	default:
		return text
	}
}
