package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) configVerb() *cobra.Command {
	v := &cobra.Command{
		Use:   "config",
		Short: "Check, show or reload the configuration",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	v.AddCommand(a.configCheckVerb(), a.configShowVerb(), a.configReloadVerb())
	return v
}

// checked is the answer of config check --json.
type checked struct {
	OK       bool     `json:"ok"`
	Path     string   `json:"path,omitempty"`
	Faults   []string `json:"faults"`
	Warnings []string `json:"warnings"`
}

func (a *app) configCheckVerb() *cobra.Command {
	var asJSON bool
	v := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a configuration and list all its errors",
		Long: "Check a configuration and list all its errors, and what it names and this machine does not have: programs\n" +
			"and plugins. A plugin without plugin.toml is started once to see what it serves as.",
		Args: cobra.MaximumNArgs(1),
		RunE: verb(func(ctx context.Context, args []string) error {
			path := a.config
			if len(args) == 1 {
				path = args[0]
			}
			return a.check(ctx, path, asJSON)
		}),
	}
	v.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return v
}

func (a *app) check(ctx context.Context, path string, asJSON bool) error {
	s, err := a.load(path)
	if err == nil {
		err = s.missing(ctx)
	}
	out := checked{OK: err == nil, Path: path, Faults: []string{}, Warnings: []string{}}
	if err != nil {
		out.Faults = strings.Split(err.Error(), "\n")
	} else {
		out.Path = s.path
	}
	if s != nil { // also when only files that the configuration names are not trusted
		out.Warnings = append(append(out.Warnings, s.warnings...), s.remarks()...)
	}
	if asJSON {
		if printErr := a.printJSON(out); printErr != nil {
			return printErr
		}
	}
	if !asJSON {
		for _, w := range out.Warnings {
			a.say("warning: %s", w)
		}
	}
	switch {
	case err != nil:
		return &coded{code: exitConfig, err: err, silent: asJSON}
	case asJSON:
		return nil
	}
	name := s.path
	if name == "" {
		name = "the defaults"
	}
	return a.print(fmt.Sprintf("%s: ok, %s, %s", name, count(s.gateways, "gateway"), count(s.plugins, "plugin")))
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (a *app) configShowVerb() *cobra.Command {
	var asJSON bool
	v := &cobra.Command{
		Use:   "show",
		Short: "Print the active configuration, defaults included, without secrets",
		Args:  cobra.NoArgs,
		RunE: verb(func(context.Context, []string) error {
			s, err := a.load(a.config)
			if err != nil {
				return configError(err)
			}
			if asJSON {
				return a.printJSON(s.tree())
			}
			text, err := s.toml()
			if err != nil {
				return err
			}
			return a.print(strings.TrimRight(text, "\n"))
		}),
	}
	v.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return v
}
