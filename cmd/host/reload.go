package main

import (
	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/shared/control"
)

func (a *app) reloadVerb() *cobra.Command {
	v, _ := a.commandVerb(control.ActionReload, "Make a gateway read its own configuration again")
	return v
}
