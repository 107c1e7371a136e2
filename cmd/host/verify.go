package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/host"
	"github.com/gatehost/gatehost/shared/plugin"
)

func (a *app) pluginVerifyVerb() *cobra.Command {
	var o host.VerifyOptions
	var asJSON, list, verbose bool
	v := &cobra.Command{
		Use:   "verify PATH",
		Short: "Run the contract tests against a plugin binary",
		Long: "Run the contract tests against a plugin binary. PATH is what plugins.NAME.path would be. The plugin\n" +
			"is started and sandboxed as by a host, in temporary directories. No gateway is touched, and no\n" +
			"service is unloaded.\n" +
			"Exit code 0: no check fails. 1: a check fails. 2: usage. 78: the table cannot be read, or the plugin\n" +
			"refuses it.",
		Args: func(cmd *cobra.Command, args []string) error {
			if list {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.ExactArgs(1)(cmd, args)
		},
		RunE: verb(func(ctx context.Context, args []string) error {
			if list {
				return a.listChecks(asJSON)
			}
			return a.verify(ctx, args[0], o, asJSON, verbose)
		}),
	}
	f := v.Flags()
	f.StringArrayVar(&o.Only, "only", nil, "run only this `check`, or all checks of a kind (doctor/); may be repeated")
	f.StringArrayVar(&o.Kinds, "kind", nil,
		"run only the checks of this `kind`: launcher, unloader, doctor, classifier; may be repeated")
	f.StringVar(&o.Table, "table", "", "TOML `file` with the plugin's own table, the content of [plugins.NAME.config]")
	f.StringArrayVar(&o.Incidents, "incident", nil,
		"JSON `file` with an incident for a doctor, in addition to the built-in ones; may be repeated")
	f.DurationVar(&o.Deadline, "deadline", 0, "fail a call that takes longer, although the contract allows more")
	f.StringArrayVar(&o.Args, "arg", nil, "an `argument` of the plugin; may be repeated")
	f.StringArrayVar(&o.Grants, "grant", nil,
		"a `grant` as in plugins.NAME.grant: gateway-config, gateway-files, gateway-token, command:WORDS; may be repeated")
	f.StringVar(&o.Transport, "transport", "", "auto_mtls or socket, as plugins.NAME.transport")
	f.StringVar(&o.Sandbox, "sandbox", "", "auto or off, as plugins.NAME.sandbox.mode")
	f.StringArrayVar(&o.Read, "read", nil,
		"an absolute `path` that the sandbox allows it to read, as plugins.NAME.sandbox.read; may be repeated")
	f.BoolVar(&o.Network, "network", false, "allow it to use the network, as plugins.NAME.sandbox.network")
	f.DurationVar(&o.StartTimeout, "start-timeout", 0, "how long it may take to start, as plugins.NAME.start_timeout")
	f.BoolVar(&verbose, "verbose", false, "show the plugin's log on stderr")
	f.BoolVar(&list, "list", false, "list the checks and run none")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return v
}

func (a *app) verify(ctx context.Context, path string, o host.VerifyOptions, asJSON, verbose bool) error {
	for _, word := range []struct {
		flag, value string
		known       []string
	}{
		{"transport", o.Transport, []string{"", "auto_mtls", "socket"}},
		{"sandbox", o.Sandbox, []string{"", "auto", "off"}},
	} {
		if !slices.Contains(word.known, word.value) {
			return usage("--%s is %s", word.flag, strings.Join(word.known[1:], " or "))
		}
	}
	for _, g := range o.Grants {
		if err := plugin.CheckGrant(g); err != nil {
			return usage("--grant %q %v", g, err)
		}
	}
	for _, p := range o.Read {
		if !filepath.IsAbs(p) {
			return usage("--read must be an absolute path, not %q", p)
		}
	}
	if _, err := os.Stat(path); err != nil {
		return usage("cannot verify %s: %v", path, errors.Unwrap(err))
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	o.Child = []string{self, host.VerifyChildVerb}
	if verbose {
		o.Log = hclog.New(&hclog.LoggerOptions{
			Name: "verify", Level: hclog.Trace, Output: a.stderr,
			Color: hclog.ColorOff,
		})
	}
	if !asJSON && isTerminal(os.Stderr) && !verbose {
		o.OnResult = func(r host.VerifyResult) { a.say("%s %s", clean(r.ID), r.Result) }
	}
	report, err := host.VerifyPlugin(ctx, path, o)
	switch {
	case errors.Is(err, host.ErrVerifyUsage):
		return &coded{code: exitUsage, err: err, hint: "`gatehost plugin verify --list` lists the checks"}
	case err != nil && len(report.Checks) == 0:
		return a.unverified(err)
	}
	if asJSON {
		if err := a.printJSON(report); err != nil {
			return err
		}
	} else if err := a.print(verifyText(report)); err != nil {
		return err
	}
	switch {
	case err != nil:
		return a.unverified(err)
	case !report.OK:
		return &coded{code: exitFailed, silent: true}
	default:
		return nil
	}
}

// unverified says why a plugin could not be tested, or not to the end.
func (a *app) unverified(err error) error {
	if host.IsConfigFault(err) {
		return configError(err)
	}
	return err
}

func verifyText(r host.VerifyReport) string {
	var lines []string
	for line := range strings.Lines(r.Text()) {
		lines = append(lines, clean(strings.TrimSuffix(line, "\n")))
	}
	return clean(shutText(r.Sandbox)) + "\n" + strings.Join(lines, "\n")
}

func (a *app) listChecks(asJSON bool) error {
	checks := host.VerifyChecks()
	if asJSON {
		return a.printJSON(checks)
	}
	for _, c := range checks {
		if err := a.print(fmt.Sprintf("%-26s %s (%s)", c.ID, c.Title, c.Row)); err != nil {
			return err
		}
	}
	return nil
}

// verifyChildVerb is for the host itself: launchers are tested with this process.
func (a *app) verifyChildVerb() *cobra.Command {
	return &cobra.Command{
		Use: host.VerifyChildVerb, Hidden: true, DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			if code := host.VerifyChild(args, a.stdout, a.stderr); code != 0 {
				return failed{&coded{code: code, silent: true}}
			}
			return nil
		},
	}
}
