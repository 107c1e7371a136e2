package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/internal/scaffold"
	"github.com/gatehost/gatehost/internal/version"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

func (a *app) pluginNewVerb() *cobra.Command {
	var o scaffold.Options
	v := &cobra.Command{
		Use:   "new KIND DIR",
		Short: "Create a project for a new plugin: KIND is doctor, launcher, unloader or classifier",
		Example: "  gatehost plugin new doctor my-doctor\n" +
			"  gatehost plugin new doctor my-doctor --lang python",
		Args: cobra.ExactArgs(2),
		RunE: verb(func(_ context.Context, args []string) error {
			o.Kind, o.Dir, o.Release, o.Gatehost = plugin.Kind(args[0]), args[1], published(version.Version()), self()
			p, err := scaffold.New(o)
			switch {
			case fault.CodeOf(err) == fault.InvalidArgument:
				return &coded{code: exitUsage, err: err, hint: fault.HintOf(err)}
			case err != nil:
				return err
			}
			return a.print(
				fmt.Sprintf("created the %s %s in %s; next:\n\n    %s\n\nits README.md says how a host uses it",
					o.Kind, p.Name, p.Dir, strings.Join(p.Next, "\n    ")))
		}),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveFilterDirs
			}
			var kinds []string
			for _, k := range plugin.Kinds() {
				kinds = append(kinds, string(k))
			}
			return kinds, cobra.ShellCompDirectiveNoFileComp
		},
	}
	languages := strings.Join(scaffold.Languages(plugin.KindDoctor), ", ")
	v.Flags().StringVar(&o.Lang, "lang", scaffold.Go, "`language`: "+languages+"; all except doctors are written in go")
	v.Flags().StringVar(&o.Name, "name", "", "`name` of the plugin (default: the name of the directory)")
	return v
}

// self returns the path of this program; "" when a shell finds it by its name.
func self() string {
	own, err := os.Executable()
	if err != nil {
		return ""
	}
	found, err := exec.LookPath("gatehost")
	if err != nil {
		return own
	}
	a, errA := os.Stat(own)
	b, errB := os.Stat(found)
	if errA == nil && errB == nil && os.SameFile(a, b) {
		return ""
	}
	return own
}

// modulePublished is the switch: once releases of this module can be fetched, projects require them and contain no
// copy.
const modulePublished = false

// published returns the release that a project can require; "" when this build is none.
func published(v string) string {
	if !modulePublished || !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(v) {
		return ""
	}
	return v
}
