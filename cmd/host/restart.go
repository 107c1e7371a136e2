package main

import (
	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/shared/control"
)

func (a *app) restartVerb() *cobra.Command {
	v, c := a.commandVerb(control.ActionRestart, "Replace a gateway's process, when the next start would not fail")
	v.Flags().BoolVar(&c.force, "force", false, "also when the next start would fail")
	return v
}
