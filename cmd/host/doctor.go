package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehost/gatehost/shared/control"
)

func (a *app) doctorVerb() *cobra.Command {
	var repair, dryRun, stop, undo, asJSON bool
	v := &cobra.Command{
		Use:               "doctor NAME",
		Short:             "Ask what is wrong with a gateway; with --repair, repair it",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.gatewayNames,
		RunE: verb(func(ctx context.Context, args []string) error {
			req := control.DoctorRequest{Action: control.DoctorDiagnose, DryRun: dryRun, Stop: stop}
			switch {
			case repair:
				req.Action = control.DoctorRepair
			case undo:
				req.Action = control.DoctorUndo
			}
			if !repair && (dryRun || stop) {
				return usage("--dry-run and --stop need --repair")
			}
			return a.doctor(ctx, args[0], req, asJSON)
		}),
	}
	v.Flags().BoolVar(&repair, "repair", false, "execute the plan, after a backup")
	v.Flags().BoolVar(&dryRun, "dry-run", false, "with --repair: show the plan and its difference only")
	v.Flags().BoolVar(&stop, "stop", false, "with --repair: stop a running gateway for it and start it again")
	v.Flags().BoolVar(&undo, "undo", false, "take back the last repair")
	v.Flags().BoolVar(&asJSON, "json", false, "print each message as a line of JSON")
	v.MarkFlagsMutuallyExclusive("repair", "undo")
	return v
}

func (a *app) doctor(ctx context.Context, name string, req control.DoctorRequest, asJSON bool) error {
	client := a.client()
	defer client.Close()
	var last *control.DoctorResult
	for m, err := range client.Doctor(ctx, name, req) {
		if err != nil {
			return err
		}
		if m.Result != nil {
			last = m.Result
		}
		if asJSON {
			data, err := json.Marshal(m)
			if err != nil {
				return fmt.Errorf("cannot encode a message: %w", err)
			}
			if err := a.print(string(data)); err != nil {
				return err
			}
			continue
		}
		if err := a.doctorMessage(m); err != nil {
			return err
		}
	}
	switch {
	case last == nil:
		return errors.New("the doctors ended without a result")
	case last.Error != nil:
		return &coded{code: exitFailed, err: errors.New(last.Error.Message), hint: last.Error.Hint}
	default:
		return nil
	}
}

func (a *app) doctorMessage(m control.DoctorMessage) error {
	var lines []string
	switch {
	case m.Finding != nil:
		f := m.Finding
		lines = append(lines, fmt.Sprintf("%s: %s (%s, by %s)", f.Severity, f.Text, f.Code, f.Plugin))
		for _, e := range f.Evidence {
			lines = append(lines, "  | "+e)
		}
		if f.Hint != "" {
			lines = append(lines, "  hint: "+f.Hint)
		}
	case m.Plan != nil:
		lines = append(lines, "plan: "+m.Plan.Title)
		for i, s := range m.Plan.Steps {
			lines = append(lines, fmt.Sprintf("  %d. %s", i+1, s))
		}
		lines = append(lines, diffLines(m.Plan.Diff)...)
	case m.Progress != "":
		a.say("%s", clean(m.Progress))
	case m.Result != nil:
		lines = append(lines, "result: "+m.Result.Outcome)
		lines = append(lines, diffLines(m.Result.Diff)...)
		if m.Result.Backup != "" {
			lines = append(lines, "backup: "+m.Result.Backup)
		}
	}
	for _, l := range lines {
		if err := a.print(clean(l)); err != nil {
			return err
		}
	}
	return nil
}

func diffLines(diff string) []string {
	if diff == "" {
		return nil
	}
	return strings.Split(strings.TrimRight(diff, "\n"), "\n")
}
