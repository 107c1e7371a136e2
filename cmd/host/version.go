package main

import (
	"context"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/internal/version"
)

func (a *app) versionVerb() *cobra.Command {
	var asJSON bool
	v := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  cobra.NoArgs,
		RunE: verb(func(context.Context, []string) error {
			if asJSON {
				return a.printJSON(map[string]string{
					"version": version.Version(), "revision": version.Revision(), "go": runtime.Version(),
					"os": runtime.GOOS, "arch": runtime.GOARCH,
				})
			}
			line := fmt.Sprintf("gatehost %s %s/%s %s", version.Version(), runtime.GOOS, runtime.GOARCH,
				runtime.Version())
			if rev := version.Revision(); rev != "" {
				line += " " + rev
			}
			return a.print(line)
		}),
	}
	v.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return v
}
