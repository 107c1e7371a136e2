package main

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

// table is [plugins.NAME.config].
type table struct {
	MinFreeMiB uint64 `json:"min_free_mib"`
}

func defaults() table { return table{MinFreeMiB: 64} }

func fields() []plugin.ConfigField {
	return []plugin.ConfigField{{
		Path: "min_free_mib", Type: "integer", DefaultJSON: "64",
		Doc: "MiB; with less free space, and less than a twentieth, the file system of the gateway's state is nearly full",
	}}
}

// environmentDoctor diagnoses from the last lines of a gateway, from how it ended, and from what can be seen of the
// machine.
type environmentDoctor struct {
	doctor.ReadOnly // these faults are in no file of the gateway: it has no plans

	machine machine
	table   atomic.Pointer[table] // Configure may be called again while a call runs
}

var _ doctor.Doctor = (*environmentDoctor)(nil)

func newDoctor(m machine) *environmentDoctor {
	d := &environmentDoctor{machine: m}
	t := defaults()
	d.table.Store(&t)
	return d
}

func (d *environmentDoctor) configure(_ context.Context, req plugin.ConfigureRequest) ([]plugin.Diagnostic, error) {
	t, faults := pluginkit.DecodeConfig(req.Config, defaults())
	if len(faults) == 0 {
		d.table.Store(&t)
	}
	return faults, nil
}

// Diagnose asks for no evidence: the gateway's last words describe its environment, and the rest can be examined from
// here. Findings from words come first, in the order of known.
func (d *environmentDoctor) Diagnose(_ context.Context, req doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	c := d.look(req)
	var out doctor.Diagnosis
	add := func(f doctor.Finding) {
		if !slices.Contains(codesOf(out.Findings), f.Code) {
			out.Findings = append(out.Findings, f)
		}
	}
	if req.Incident != nil {
		for _, t := range known {
			if f, ok := t.in(c); ok {
				add(f)
			}
		}
		for _, f := range fromEnd(req.Incident) {
			add(f)
		}
	}
	for _, f := range c.fromMachine() {
		if f.Code != codeNearlyFull || !slices.Contains(codesOf(out.Findings), codeDiskFull) {
			add(f)
		}
	}
	return out, nil
}

func codesOf(findings []doctor.Finding) []string {
	var out []string
	for _, f := range findings {
		out = append(out, f.Code)
	}
	return out
}

// fromEnd returns what the process's end, or a refused session, says without words.
func fromEnd(i *doctor.Incident) []doctor.Finding {
	var out []doctor.Finding
	// not when the host gave up waiting and killed it
	itself := i.ErrorCode == "exited_before_ready" || i.ErrorCode == "exited"
	if x := i.Exit; itself && x != nil && x.Known && (x.Signal == "SIGKILL" || x.Signal == "" && x.Code == 137) {
		out = append(out, doctor.Finding{
			Code: "killed", Severity: plugin.SeverityError, Evidence: []string{x.String()},
			Text: "something killed the gateway with SIGKILL; when no person did, it was the kernel for lack of memory",
			Hint: "look for `Out of memory` in `journalctl -k` or dmesg, and give the machine or the gateway's container " +
				"more memory",
		})
	}
	if f, ok := refusals[i.ErrorCode]; ok {
		f.Severity, f.Fatal, f.Evidence = plugin.SeverityError, true, []string{i.ErrorMessage}
		out = append(out, f)
	}
	return out
}

// refusals are the host's codes of sessions that the gateway refuses (docs/openclaw.md §6).
var refusals = map[string]doctor.Finding{
	"AUTH_TOKEN_MISMATCH": {Code: codeTokenRefused, Text: textTokenRefused, Hint: hintTokenRefused},
	"AUTH_TOKEN_MISSING":  {Code: codeTokenRefused, Text: textTokenRefused, Hint: hintTokenRefused},
	"DEVICE_AUTH_SIGNATURE_EXPIRED": {
		Code: codeClockOff, Text: "the clocks of the host and of the gateway differ by more than two minutes",
		Hint: "set the clock of both machines (`timedatectl set-ntp true`)",
	},
}

const (
	codeTokenRefused = "token-refused"
	textTokenRefused = "the gateway refuses the host's token: it was replaced, or is another one's"
	hintTokenRefused = "compare gateways.NAME.token with gateway.auth.token of the gateway's configuration, then run " +
		"`gatehost restart NAME`"

	codeClockOff = "clock-off"
)

// about names a directory for a text.
func about(gw plugin.GatewayFacts) string {
	if gw.StateDir == "" {
		return "the gateway's state directory"
	}
	return gw.StateDir
}

func mib(bytes uint64) string { return fmt.Sprintf("%d MiB", bytes>>20) }
