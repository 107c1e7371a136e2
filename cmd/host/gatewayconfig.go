package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/shared/control"
)

// configVerbs are the words after `gateway-config NAME`, and how many arguments each takes.
var configVerbs = map[string]struct{ least, most int }{
	"get": {0, 1}, control.ConfigSet: {2, 2}, control.ConfigUnset: {1, 1}, control.ConfigPatch: {1, 1},
	control.ConfigUndo: {0, 0},
}

func (a *app) gatewayConfigVerb() *cobra.Command {
	var edit control.ConfigEdit
	var asJSON bool
	v := &cobra.Command{
		Use:   "gateway-config NAME get [PATH] | set PATH VALUE | unset PATH | patch JSON | undo",
		Short: "Read and change the gateway's own configuration",
		Long: `Read and change the gateway's own configuration.

A running gateway is asked; the file of a stopped one is edited in place and keeps its comments. PATH is like
gateway.auth.mode, agents.list[0].id or channels["a.b"].x. VALUE is JSON5, or a plain text; JSON is JSON5 and a
merge patch, in which null removes. Either is read from stdin when it is "-": give secrets that way. get hides
secrets. undo undoes the last change that this host made.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return fmt.Errorf("name a gateway, and get, set, unset, patch or undo")
			}
			want, ok := configVerbs[args[1]]
			switch n := len(args) - 2; {
			case !ok:
				return fmt.Errorf("unknown word %q; use get, set, unset, patch or undo", args[1])
			case n < want.least || n > want.most:
				return fmt.Errorf("%s takes %d to %d arguments, not %d", args[1], want.least, want.most, n)
			case args[1] == "get" && (edit.DropComments || edit.Force || edit.Reason != ""):
				return fmt.Errorf("get takes no flag except --json")
			case edit.Force && args[1] != control.ConfigUndo:
				return fmt.Errorf("--force is only for undo")
			}
			return nil
		},
		ValidArgsFunction: a.gatewayNames,
		RunE: verb(func(ctx context.Context, args []string) error {
			if args[1] == "get" {
				return a.getConfig(ctx, args[0], strings.Join(args[2:], ""), asJSON)
			}
			edit.Action = args[1]
			return a.editConfig(ctx, args[0], args[2:], edit, asJSON)
		}),
	}
	f := v.Flags()
	f.BoolVar(&edit.DropComments, "drop-comments", false, "change it although the comments in the file are lost")
	f.BoolVar(&edit.Force, "force", false, "with undo: also undo values that were changed since")
	f.StringVar(&edit.Reason, "reason", "", "`text` for events and logs")
	f.BoolVar(&asJSON, "json", false, "print the whole answer as JSON")
	return v
}

func (a *app) getConfig(ctx context.Context, name, path string, asJSON bool) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	defer client.Close()
	got, err := client.Config(ctx, name, path)
	switch {
	case err != nil:
		return err
	case asJSON:
		return a.printJSON(got)
	case !got.Exists:
		a.say("gatehost: there is no %s yet", clean(got.File))
	case got.Source == control.SourceFile:
		a.say("gatehost: read from %s; the gateway has no session", clean(got.File))
	}
	for _, i := range got.Issues {
		a.say("gatehost: the gateway says: %s", clean(strings.TrimPrefix(i.Path+": "+i.Message, ": ")))
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, got.Value, "", "  "); err != nil {
		return fmt.Errorf("the host's answer is not JSON: %w", err)
	}
	return a.print(pretty.String())
}

func (a *app) editConfig(ctx context.Context, name string, args []string, edit control.ConfigEdit, asJSON bool) error {
	if edit.Action == control.ConfigSet || edit.Action == control.ConfigUnset {
		edit.Path, args = args[0], args[1:]
	}
	if len(args) > 0 {
		text, err := a.text(args[0])
		if err != nil {
			return err
		}
		edit.Text = &text
	}
	client, err := a.client()
	if err != nil {
		return err
	}
	defer client.Close()
	got, err := client.EditConfig(ctx, name, edit)
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(got)
	}
	for _, c := range got.Changes {
		if err := a.print(clean(changeLine(c))); err != nil {
			return err
		}
	}
	if got.Outcome == control.ConfigUnchanged {
		return a.print("unchanged: it already has this value")
	}
	if err := a.print(got.Outcome + " by " + map[string]string{
		control.SourceGateway: "the gateway", control.SourceFile: "editing " + clean(got.File),
	}[got.Source]); err != nil {
		return err
	}
	switch {
	case got.RequiresRestart == nil:
		a.say("gatehost: the gateway does not say whether it restarts for this change")
	case *got.RequiresRestart:
		a.say("gatehost: the gateway restarts itself for this change")
	}
	if got.Settled {
		a.say("gatehost: the gateway's answer was lost; its file contains the change")
	}
	return nil
}

// text returns an argument, or stdin for "-", without the line's end.
func (a *app) text(word string) (string, error) {
	if word != "-" {
		return word, nil
	}
	data, err := io.ReadAll(io.LimitReader(a.stdin, maxParams+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot read the value: %w", err)
	case len(data) > maxParams:
		return "", usage("the value is larger than 1 MiB")
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}

func changeLine(c control.ConfigChange) string {
	show := func(v json.RawMessage) string {
		if v == nil {
			return "(none)"
		}
		return string(v)
	}
	return c.Path + ": " + show(c.Before) + " -> " + show(c.After)
}
