package main

import (
	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/host"
)

// sandboxVerb is for the host itself: the host starts its own binary with this verb, which enters the sandbox and
// becomes a plugin.
func sandboxVerb() *cobra.Command {
	return &cobra.Command{
		Use: host.SandboxVerb, Hidden: true, DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error { return failed{host.SandboxExec(args)} },
	}
}
