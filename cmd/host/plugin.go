package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/host"
	"github.com/gatehost/gatehost/shared/control"
)

func (a *app) pluginVerb() *cobra.Command {
	v := &cobra.Command{
		Use:   "plugin",
		Short: "Show and manage plugins",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	v.AddCommand(
		a.pluginListVerb(), a.pluginInfoVerb(), a.pluginRestartVerb(), a.pluginPinVerb(), a.pluginNewVerb(),
		a.pluginSealVerb(), a.pluginVerifyVerb(),
	)
	return v
}

func (a *app) pluginListVerb() *cobra.Command {
	var asJSON bool
	v := &cobra.Command{
		Use:   "list",
		Short: "List the plugins of the host",
		Args:  cobra.NoArgs,
		RunE: verb(func(ctx context.Context, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			plugins, err := client.Plugins(ctx)
			switch {
			case err != nil:
				return err
			case asJSON:
				return a.printJSON(control.Plugins{Plugins: plugins})
			default:
				return a.print(pluginTable(plugins))
			}
		}),
	}
	v.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return v
}

func pluginTable(plugins []control.Plugin) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NAME\tSTATE\tPID\tVERSION\tSERVICES\tRESTARTS\tMEMORY")
	for _, p := range plugins {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", p.Name, p.State, number(p.PID), dash(p.Version),
			dash(strings.Join(services(p), ",")), p.Restarts, memory(p.RSSBytes))
	}
	_ = w.Flush()
	for _, p := range plugins {
		if p.Error != nil {
			fmt.Fprintf(&b, "%s: %s\n%s", p.Name, clean(p.Error.Message), hintLine(p.Error.Hint))
		}
		b.WriteString(unused(p, p.Name))
	}
	return strings.TrimRight(b.String(), "\n")
}

// services lists the services of a plugin, each with the version that host and plugin use: doctor/2.
func services(p control.Plugin) []string {
	if len(p.Negotiated) == 0 { // an older host does not report it
		return p.Services
	}
	var out []string
	for _, n := range p.Negotiated {
		version := "unusable"
		if n.Error == nil {
			version = fmt.Sprint(n.Version)
		}
		out = append(out, n.Service+"/"+version)
	}
	return out
}

// unused says which services of a plugin the host cannot use, and which side to upgrade.
func unused(p control.Plugin, who string) string {
	var b strings.Builder
	for _, n := range p.Negotiated {
		if n.Error != nil {
			fmt.Fprintf(&b, "%s: cannot serve as %s: %s\n%s", who, n.Service, clean(n.Error.Message),
				hintLine(n.Error.Hint))
		}
	}
	if len(p.UnknownKinds) > 0 {
		fmt.Fprintf(&b, "%s: it also serves kinds that this host does not know (%s)\n%s", who,
			strings.Trim(fmt.Sprint(p.UnknownKinds), "[]"), hintLine("upgrade gatehost to use them"))
	}
	return b.String()
}

// versionsText says which version host and plugin use, and which they support.
func versionsText(p control.Plugin) string {
	var b strings.Builder
	for _, n := range p.Negotiated {
		var ranges []string
		for _, v := range n.Plugin {
			ranges = append(ranges, rangeText(v))
		}
		version := "no version in common"
		if n.Error == nil {
			version = "version " + fmt.Sprint(n.Version)
		}
		fmt.Fprintf(&b, "\n%s: %s (the plugin speaks %s, this host %s)", clean(n.Service), version,
			strings.Join(ranges, " and "), rangeText(n.Host))
	}
	return b.String()
}

func rangeText(v control.Versions) string {
	if v.Min == v.Max {
		return fmt.Sprint(v.Min)
	}
	return fmt.Sprintf("%d to %d", v.Min, v.Max)
}

func memory(n uint64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1fMiB", float64(n)/(1<<20))
}

func (a *app) pluginInfoVerb() *cobra.Command {
	var asJSON, describe bool
	v := &cobra.Command{
		Use:   "info NAME|DIR",
		Short: "Show one plugin",
		Long: "Show one plugin of the host, by its name, or what the directory of a plugin says about it: its\n" +
			"manifest, what it asks for, and whether its files are those that it lists. A directory needs no host,\n" +
			"and nothing of it is started. An argument with a slash is a path.",
		Example: "  gatehost plugin info doctor\n" +
			"  gatehost plugin info ./downloaded\n" +
			"  gatehost plugin info ./downloaded --describe",
		Args: cobra.ExactArgs(1),
		RunE: verb(func(ctx context.Context, args []string) error {
			p, err := a.pluginOf(ctx, args[0], describe)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(p)
			}
			return a.print(pluginTable([]control.Plugin{p}) + "\npath: " + dash(p.Path) + versionsText(p) + tableText(p) +
				trustText(p) + sandboxText(p))
		}),
	}
	v.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	v.Flags().BoolVar(&describe, "describe", false,
		"with a path: start the plugin in a sandbox that gives it nothing it asks for, and show the keys of its table")
	return v
}

// pluginOf returns a plugin of the host, or what a directory says. A plain word is the name of a plugin, unless the
// host has none of that name, or no host answers, and it is the directory of a plugin.
func (a *app) pluginOf(ctx context.Context, arg string, describe bool) (control.Plugin, error) {
	if strings.ContainsAny(arg, "/"+string(filepath.Separator)) || describe {
		return host.InspectPlugin(ctx, arg, describe)
	}
	p, err := a.hostsPlugin(ctx, arg)
	if err == nil {
		return p, nil
	}
	if found, dirErr := host.InspectPlugin(ctx, arg, false); dirErr == nil {
		return found, nil
	}
	return control.Plugin{}, err
}

func (a *app) hostsPlugin(ctx context.Context, name string) (control.Plugin, error) {
	client, err := a.client()
	if err != nil {
		return control.Plugin{}, err
	}
	defer client.Close()
	return client.Plugin(ctx, name)
}

// tableText says what a plugin tells operators about itself; each line begins with a newline.
func tableText(p control.Plugin) string {
	var lines []string
	if p.Homepage != "" {
		lines = append(lines, "homepage: "+p.Homepage)
	}
	if len(p.ConfigFields) > 0 {
		lines = append(lines, "keys of [plugins."+p.Name+".config]:")
	}
	for _, f := range p.ConfigFields {
		about := f.Type
		switch {
		case f.Required:
			about += ", required"
		case f.Default != "":
			about += ", default " + f.Default
		}
		lines = append(lines, fmt.Sprintf("  %s (%s): %s", f.Path, about, f.Doc))
	}
	var out strings.Builder
	for _, l := range lines {
		out.WriteString("\n" + clean(l))
	}
	return out.String()
}

// sandboxText says how a plugin is sandboxed, and what it can do nevertheless.
func sandboxText(p control.Plugin) string {
	s := p.Sandbox
	if s == nil {
		return ""
	}
	lines := []string{"", shutText(*s)}
	if s.State == control.SandboxOn {
		network := "no"
		if s.Network {
			network = "yes"
		}
		read := []string{"the system's programs and libraries"}
		if p.Manifest != nil {
			read = append(read, "the files that its manifest lists")
		}
		lines = append(lines,
			"  may read: "+strings.Join(append(read, s.Read...), ", "),
			"  may write: "+strings.Join(append([]string{"its data directory"}, s.Write...), ", "),
			"  network: "+network)
	}
	for _, gap := range s.Gaps {
		lines = append(lines, "  not stopped: "+gap)
	}
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

func shutText(s control.Sandbox) string {
	text := "sandbox: " + s.State + " (" + s.Level + ")"
	if s.Why != "" {
		text += ", " + s.Why
	}
	return text
}

func (a *app) pluginRestartVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "restart NAME",
		Short: "Replace a plugin's process",
		Args:  cobra.ExactArgs(1),
		RunE: verb(func(ctx context.Context, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			p, err := client.RestartPlugin(ctx, args[0])
			if err != nil {
				return err
			}
			return a.print(fmt.Sprintf("%s %s pid=%s", p.Name, p.State, number(p.PID)))
		}),
	}
}
