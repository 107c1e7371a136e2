package main

import (
	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/shared/control"
)

func (a *app) restartVerb() *cobra.Command {
	v, _ := a.commandVerb(control.ActionRestart, "Replace a gateway's process")
	return v
}
