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
	var f doctorFlags
	v := &cobra.Command{
		Use:   "doctor NAME [ID]",
		Short: "Diagnose a gateway; with --repair, repair it",
		Long: "Diagnose a gateway; with --repair, repair it: by the plan of a doctor, or, when no doctor has one,\n" +
			"with the configuration with which the gateway ran last. --undo undoes the last repair, --undo ID any\n" +
			"other one; --history lists them.",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.gatewayNames,
		RunE: verb(func(ctx context.Context, args []string) error {
			req, err := f.request(args[1:])
			if err != nil {
				return err
			}
			return a.doctor(ctx, args[0], req, f.asJSON)
		}),
	}
	v.Flags().BoolVar(&f.repair, "repair", false, "execute the plan, after a backup")
	v.Flags().StringVar(&f.restore, "restore", "",
		"with --repair: restore a stored configuration: last-good, or an ID of --history")
	v.Flags().BoolVar(&f.dryRun, "dry-run", false, "with --repair or --undo: only show the plan and its difference")
	v.Flags().BoolVar(&f.stop, "stop", false,
		"with --repair or --undo: stop a running gateway first and start it again afterwards")
	v.Flags().BoolVar(&f.undo, "undo", false, "undo the last repair, or the one named by ID")
	v.Flags().BoolVar(&f.history, "history", false, "list repairs and stored configurations, newest first")
	v.Flags().BoolVar(&f.asJSON, "json", false, "print each message as a line of JSON")
	v.MarkFlagsMutuallyExclusive("repair", "undo", "history")
	return v
}

type doctorFlags struct {
	repair, dryRun, stop, undo, history, asJSON bool
	restore                                     string
}

// request returns the request that the flags describe.
func (f doctorFlags) request(ids []string) (control.DoctorRequest, error) {
	req := control.DoctorRequest{Action: control.DoctorDiagnose, DryRun: f.dryRun, Stop: f.stop, Restore: f.restore}
	switch {
	case f.repair:
		req.Action = control.DoctorRepair
	case f.undo:
		req.Action = control.DoctorUndo
	case f.history:
		req.Action = control.DoctorHistory
	}
	switch {
	case !f.repair && !f.undo && (f.dryRun || f.stop):
		return req, usage("--dry-run and --stop need --repair or --undo")
	case !f.repair && f.restore != "":
		return req, usage("--restore needs --repair")
	case !f.undo && len(ids) > 0:
		return req, usage("an ID needs --undo")
	case len(ids) > 0:
		req.ID = ids[0]
	}
	return req, nil
}

func (a *app) doctor(ctx context.Context, name string, req control.DoctorRequest, asJSON bool) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	defer client.Close()
	var last *control.DoctorResult
	broken, shown := 0, "" // findings that are errors; the difference that the plan showed
	for m, err := range client.Doctor(ctx, name, req) {
		if err != nil {
			return err
		}
		if m.Result != nil {
			last = m.Result
		}
		if m.Finding != nil && m.Finding.Severity == severityError {
			broken++
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
		if m.Plan != nil {
			shown = m.Plan.Diff
		} else if m.Result != nil && m.Result.Diff == shown {
			once := *m.Result
			once.Diff = ""
			m.Result = &once
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
	case req.Action == control.DoctorDiagnose && broken > 0:
		return &coded{code: exitFailed, silent: true} // the findings have said why
	default:
		return nil
	}
}

// severityError is the severity of a finding that makes `gatehost doctor` fail.
const severityError = "error"

func (a *app) doctorMessage(m control.DoctorMessage) error {
	var lines []string
	switch {
	case m.Finding != nil:
		f := m.Finding
		lines = append(lines, fmt.Sprintf("%s: %s (%s, by %s)", f.Severity, f.Text, f.Code, f.Plugin))
		if f.ConfigPath != "" {
			lines = append(lines, "  at: "+f.ConfigPath)
		}
		for _, e := range f.Evidence {
			lines = append(lines, "  | "+e)
		}
		if f.Hint != "" {
			lines = append(lines, "  hint: "+f.Hint)
		}
	case m.Skipped != nil:
		lines = append(lines, skippedLines(*m.Skipped)...)
	case m.Plan != nil:
		lines = append(lines, "plan: "+m.Plan.Title)
		for i, s := range m.Plan.Steps {
			lines = append(lines, fmt.Sprintf("  %d. %s", i+1, s))
		}
		lines = append(lines, diffLines(m.Plan.Diff)...)
	case m.Record != nil:
		lines = append(lines, recordLine(*m.Record))
	case m.Kept != nil:
		lines = append(lines, keptLine(*m.Kept))
	case m.Progress != "":
		a.say("%s", clean(m.Progress))
	case m.Result != nil:
		lines = append(lines, resultLine(*m.Result))
		lines = append(lines, diffLines(m.Result.Diff)...)
		for _, path := range m.Result.Aside {
			lines = append(lines, "kept: what was broken is "+path)
		}
		if m.Result.Backup != "" {
			lines = append(lines, "backup: "+m.Result.Backup)
		}
		if m.Result.Next != "" {
			lines = append(lines, "next: "+m.Result.Next)
		}
	}
	for _, l := range lines {
		if err := a.print(clean(l)); err != nil {
			return err
		}
	}
	return nil
}

func resultLine(r control.DoctorResult) string {
	if r.Detail == "" {
		return "result: " + r.Outcome
	}
	return "result: " + r.Outcome + ": " + r.Detail
}

// skippedLines says which doctor gave no answer, and why.
func skippedLines(s control.DoctorSkipped) []string {
	if s.Error == nil {
		return []string{"skipped: " + s.Plugin}
	}
	lines := []string{fmt.Sprintf("skipped: %s (by %s)", s.Error.Message, s.Plugin)}
	if s.Error.Hint != "" {
		lines = append(lines, "  hint: "+s.Error.Hint)
	}
	return lines
}

func diffLines(diff string) []string {
	if diff == "" {
		return nil
	}
	return strings.Split(strings.TrimRight(diff, "\n"), "\n")
}

// recordLine is the line of a repair in a list.
func recordLine(r control.DoctorRecord) string {
	line := fmt.Sprintf("repair %s  %s  %s: %s", r.ID, r.Time.Local().Format("2006-01-02 15:04:05"), r.Outcome, r.Title)
	if r.Doctor != "" {
		line += ", by " + r.Doctor
	}
	if r.Finding != "" {
		line += ", for " + r.Finding
	}
	if r.UndoneBy != "" {
		line += "; taken back by " + r.UndoneBy
	}
	if !r.Undoable {
		line += "; what was before is there now"
	}
	return line
}

// keptLine is the line of a stored configuration in a list.
func keptLine(k control.DoctorKept) string {
	line := fmt.Sprintf("kept   %s  %s  ran last; %d bytes of %s", k.ID, k.Last.Local().Format("2006-01-02 15:04:05"),
		k.Bytes, k.Path)
	if k.Present {
		line += "; it is there now"
	}
	return line
}
