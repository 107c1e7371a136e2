package main

import (
	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/shared/control"
)

func (a *app) startVerb() *cobra.Command {
	v, _ := a.commandVerb(control.ActionStart, "Start a gateway and wait until it runs")
	return v
}
