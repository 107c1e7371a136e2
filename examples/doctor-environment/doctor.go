package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
			f.Hint = c.named(f.Hint)
			out.Findings = append(out.Findings, f)
		}
	}
	if req.Incident != nil {
		for _, t := range known {
			if f, ok := t.in(c); ok {
				add(f)
			}
		}
		for _, f := range c.fromEnd(slices.ContainsFunc(out.Findings, isError)) {
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

func isError(f doctor.Finding) bool { return f.Severity >= plugin.SeverityError }

// named puts the gateway's name into a hint, so that an operator can paste its commands.
func (c *examination) named(hint string) string {
	if c.req.Gateway.Name == "" {
		return hint
	}
	return strings.ReplaceAll(hint, "NAME", c.req.Gateway.Name)
}

// about names a directory for a text.
func about(gw plugin.GatewayFacts) string {
	if gw.StateDir == "" {
		return "the gateway's state directory"
	}
	return gw.StateDir
}

func mib(bytes uint64) string { return fmt.Sprintf("%d MiB", bytes>>20) }
