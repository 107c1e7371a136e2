package main

import (
	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/shared/control"
)

func (a *app) stopVerb() *cobra.Command {
	v, c := a.commandVerb(control.ActionStop, "Bring a gateway down and wait until nothing of it is left")
	v.Flags().BoolVar(&c.now, "now", false, "kill it without its grace")
	v.Flags().BoolVar(&c.drain, "drain", false, "let work in flight end first")
	v.Flags().BoolVar(&c.extern, "external", false, "also ask a gateway that somebody else started to shut down; without it, it is only let go")
	v.MarkFlagsMutuallyExclusive("now", "drain", "external")
	return v
}
