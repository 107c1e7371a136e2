package main

import (
	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/shared/control"
)

func (a *app) stopVerb() *cobra.Command {
	v, c := a.commandVerb(control.ActionStop, "Stop a gateway and wait until none of its processes is left")
	v.Flags().BoolVar(&c.now, "now", false, "kill it without waiting for its grace time")
	v.Flags().BoolVar(&c.drain, "drain", false, "let running work finish first")
	v.Flags().BoolVar(&c.extern, "external", false,
		"also shut down a gateway that gatehost did not start (default: only detach from it)")
	v.MarkFlagsMutuallyExclusive("now", "drain", "external")
	return v
}
