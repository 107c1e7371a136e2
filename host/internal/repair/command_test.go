package repair_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// hostile are command lines that are close to an allowed one, or that do what no doctor may have done. own is the
// gateway's command.
func hostile(own []string) map[string][]string {
	cmd := func(args ...string) []string { return append(slices.Clone(own), args...) }
	by := func(program string, args ...string) []string { return slices.Concat([]string{program}, own[1:], args) }
	return map[string][]string{
		"installs code":                  cmd("plugins", "install", "--force", "--link", "/tmp/plug"),
		"inspects at runtime":            cmd("plugins", "inspect", "x", "--runtime"),
		"runs the gateway":               cmd("gateway", "--port", "1"),
		"writes the configuration":       cmd("config", "set", "gateway.port", "1"),
		"a step and not evidence or so":  cmd("doctor"),
		"a word more":                    cmd("config", "validate", "--json", "--fix"),
		"a word more in front":           cmd("--profile", "x", "config", "validate", "--json"),
		"a word less":                    cmd("config"),
		"no word":                        cmd(),
		"words in another order":         cmd("validate", "config", "--json"),
		"a flag in another place":        cmd("--json", "config", "validate"),
		"a word that only begins so":     cmd("config", "validate", "--json=/etc/passwd"),
		"a word that only ends so":       cmd("config", "xvalidate"),
		"two words in one":               cmd("config validate"),
		"an empty word":                  cmd("config", "validate", ""),
		"a blank behind a word":          cmd("config", "validate "),
		"another case":                   cmd("Config", "Validate"),
		"a NUL":                          cmd("config", "validate\x00--fix"),
		"a line feed":                    cmd("config", "validate\n"),
		"a letter that looks the same":   cmd("config", "v\u0430lidate"),
		"the end of options":             cmd("--", "config", "validate"),
		"a repetition":                   cmd("config", "validate", "config", "validate"),
		"another program":                {"sh", "-c", "id"},
		"another program, the words":     {"sh", "config", "validate"},
		"a wrapper":                      append([]string{"env"}, cmd("config", "validate")...),
		"a wrapper by its path":          append([]string{"/tmp/wrap"}, cmd("config", "validate")...),
		"the program by a path":          by("./"+own[0], "config", "validate"),
		"the program by another path":    by("/usr/bin/../bin/"+own[0], "--version"),
		"a part of the command":          {own[0], "config", "validate"},
		"the command twice":              append(slices.Clone(own), cmd("config", "validate")...),
		"nothing":                        {},
		"an empty program":               append([]string{""}, cmd("config", "validate")...),
		"a file of the command replaced": {own[0], "/tmp/evil.mjs", "config", "validate"},
	}
}

func TestEvidenceRunsKnownCommandsOnly(t *testing.T) {
	w := newWorld(t)
	var told []repair.Command
	g := repair.Gatherer{Gateway: w.facts, Exec: w.exec, Report: func(c repair.Command) { told = append(told, c) }}
	who := repair.Named{Name: "evil", Content: true, Files: true}
	for name, argv := range hostile(w.facts.Command) {
		if len(argv) == 0 {
			continue // checkWants: neither a command nor a file
		}
		told = nil
		e := g.Gather(t.Context(), who, []doctor.EvidenceRequest{{ID: "e", Argv: argv}})[0]
		if e.Available || e.Problem == "" {
			t.Errorf("%s: %+v", name, e)
		}
		if len(told) != 1 || !told[0].Refused || told[0].Err == nil || told[0].Doctor != "evil" ||
			told[0].Kind != repair.KindEvidence || !slices.Equal(told[0].Argv, argv) {
			t.Errorf("%s: reported %+v", name, told)
		}
	}
	// nor is a step evidence
	for _, words := range doctor.StepCommands("openclaw") {
		argv := append(slices.Clone(w.facts.Command), words...)
		if e := g.Gather(t.Context(), who, []doctor.EvidenceRequest{{ID: "e", Argv: argv}})[0]; e.Available {
			t.Errorf("%q runs as evidence", words)
		}
	}
	if len(w.vendor.calls) != 0 {
		t.Fatalf("ran %q", w.vendor.calls)
	}
	for _, words := range [][]string{
		{"--version"}, {"config", "validate"}, {"config", "validate", "--json"}, {"doctor", "--lint", "--json"},
	} {
		told = nil
		argv := append(slices.Clone(w.facts.Command), words...)
		e := g.Gather(t.Context(), who, []doctor.EvidenceRequest{{ID: "e", Argv: argv}})[0]
		if !e.Available || len(told) != 1 || told[0].Refused || told[0].Exit == nil || told[0].Err != nil {
			t.Errorf("%q: %+v, reported %+v", words, e, told)
		}
	}
	for _, job := range w.vendor.jobs {
		if job.Secrets || job.Kind != repair.KindEvidence {
			t.Errorf("evidence runs as %+v", job)
		}
	}
}

func TestPlanRunsKnownCommandsOnly(t *testing.T) {
	var told []repair.Command
	w := newWorld(t, func(o *repair.Options) { o.Report = func(c repair.Command) { told = append(told, c) } })
	who := repair.Named{Name: "evil", Content: true, Files: true}
	step := func(argv []string) doctor.Plan {
		return doctor.Plan{Title: "x", Steps: []doctor.Step{
			w.fix().Steps[0], {Title: "s", Exec: &doctor.ExecStep{Argv: argv, Timeout: time.Second}},
		}}
	}
	bad := hostile(w.facts.Command)
	for _, words := range doctor.EvidenceCommands("openclaw") { // nor is evidence a step
		bad[strings.Join(words, " ")] = append(slices.Clone(w.facts.Command), words...)
	}
	for name, argv := range bad {
		told = nil
		err := w.e.Check(who, step(argv))
		if fault.CodeOf(err) != fault.InvalidArgument || !strings.Contains(err.Error(), "step 2 (s)") {
			t.Errorf("%s: Check = %v", name, err)
		}
		if len(told) != 1 || !told[0].Refused || told[0].Kind != repair.KindStep || !slices.Equal(told[0].Argv, argv) {
			t.Errorf("%s: reported %+v", name, told)
		}
		if _, err := w.e.Execute(t.Context(), repair.Request{Plan: step(argv), Doctor: who}); err == nil {
			t.Errorf("%s: executed", name)
		}
	}
	if len(w.vendor.calls) != 0 {
		t.Fatalf("ran %q", w.vendor.calls)
	}
	told = nil
	if _, err := w.e.Execute(t.Context(), repair.Request{Plan: w.fix(), Doctor: who}); err != nil {
		t.Fatal(err)
	}
	if len(w.vendor.jobs) != 1 || !w.vendor.jobs[0].Secrets || w.vendor.jobs[0].Kind != repair.KindStep {
		t.Errorf("the vendor's own doctor runs as %+v", w.vendor.jobs)
	}
	if len(told) != 1 || told[0].Refused || told[0].Exit == nil || told[0].Took <= 0 || told[0].Doctor != "evil" {
		t.Errorf("reported %+v", told)
	}
}

func TestGrantAllowsTheWordsThatItNamesAndNoOthers(t *testing.T) {
	w := newWorld(t)
	g := repair.Gatherer{Gateway: w.facts, Exec: w.exec}
	cmd := func(args ...string) []string { return append(slices.Clone(w.facts.Command), args...) }
	ask := func(who repair.Named, argv []string) bool {
		return g.Gather(t.Context(), who, []doctor.EvidenceRequest{{ID: "e", Argv: argv}})[0].Available
	}
	given := repair.Named{Name: "given", Commands: [][]string{{"plugins", "list", "--json"}}}
	if !ask(given, cmd("plugins", "list", "--json")) {
		t.Error("what the grant names is refused")
	}
	for _, argv := range [][]string{
		cmd("plugins", "list"), cmd("plugins", "list", "--json", "x"), cmd("plugins", "--json", "list"),
		{"plugins", "list", "--json"},
		{"sh", "plugins", "list", "--json"},
	} {
		if ask(given, argv) {
			t.Errorf("%q runs", argv)
		}
	}
	if ask(repair.Named{Name: "other"}, cmd("plugins", "list", "--json")) {
		t.Error("the grant of one doctor is the grant of another")
	}
	e := g.Gather(t.Context(), repair.Named{Name: "other"},
		[]doctor.EvidenceRequest{{ID: "e", Argv: cmd("plugins", "list", "--json")}})[0]
	if !strings.Contains(e.Problem, `"plugins" "list" "--json"`) {
		t.Errorf("problem %q does not name the words", e.Problem)
	}
	plan := doctor.Plan{Title: "x", Steps: []doctor.Step{
		{Title: "s", Exec: &doctor.ExecStep{Argv: cmd("plugins", "list", "--json"), Timeout: time.Second}},
	}}
	w.vendor.jobs = nil
	if _, err := w.e.Execute(t.Context(), repair.Request{Plan: plan, Doctor: given}); err != nil {
		t.Fatal(err)
	}
	if len(w.vendor.jobs) != 1 || w.vendor.jobs[0].Secrets {
		t.Errorf("a step by a grant runs with the gateway's secrets: %+v", w.vendor.jobs)
	}
	if err := w.e.Check(repair.Named{Name: "other"}, plan); !strings.Contains(fault.HintOf(err),
		`"command:plugins list --json" to plugins.other.grant`) {
		t.Errorf("hint %q", fault.HintOf(err))
	}
}

func TestPlainGatewayRunsNothingButWhatAGrantNames(t *testing.T) {
	for _, profile := range []string{"plain", "", "another"} {
		w := newWorld(t, func(o *repair.Options) { o.Gateway.Profile = profile })
		g := repair.Gatherer{Gateway: w.facts, Exec: w.exec}
		cmd := func(args ...string) []string { return append(slices.Clone(w.facts.Command), args...) }
		for _, words := range append(doctor.EvidenceCommands("openclaw"), doctor.StepCommands("openclaw")...) {
			e := g.Gather(t.Context(), repair.Named{Name: "d"}, []doctor.EvidenceRequest{{ID: "e", Argv: cmd(words...)}})[0]
			plan := doctor.Plan{Title: "x", Steps: []doctor.Step{
				{Title: "s", Exec: &doctor.ExecStep{Argv: cmd(words...), Timeout: time.Second}},
			}}
			if e.Available || w.e.Check(repair.Named{Name: "d"}, plan) == nil {
				t.Errorf("profile %q runs %q", profile, words)
			}
		}
		who := repair.Named{Name: "d", Commands: [][]string{{"status"}}}
		if !g.Gather(t.Context(), who, []doctor.EvidenceRequest{{ID: "e", Argv: cmd("status")}})[0].Available {
			t.Errorf("profile %q does not run what a grant names", profile)
		}
	}
}

func TestAutomaticPlanNamesTheConfigurationFileOnly(t *testing.T) {
	w := newWorld(t)
	other := filepath.Join(w.facts.StateDir, "index.js")
	w.write(other, "code", 0o600)
	with := func(p doctor.Plan, touches ...string) doctor.Plan {
		p.Touches = touches
		return p
	}
	delegated := func(paths ...string) doctor.Plan {
		return doctor.Plan{Title: "x", Steps: []doctor.Step{
			{Delegate: &doctor.DelegateStep{ID: "d", Timeout: time.Second, Paths: paths}},
		}}
	}
	none, granted := repair.Named{Name: "evil"}, repair.Named{Name: "good", Files: true}
	for name, plan := range map[string]doctor.Plan{
		"another file": writes(other, "x", sum("code")), "a new file": writes(other+"2", "x", ""),
		"touches":       with(w.fix(), w.config, other),
		"a delegated":   delegated(w.config, other),
		"a path around": writes(filepath.Join(w.facts.StateDir, "..", "state", "index.js"), "x", sum("code")),
	} {
		err := w.e.CheckAutomatic(none, plan)
		if !errors.Is(err, fault.ErrFailedPrecondition) || !strings.Contains(fault.HintOf(err), "gateway-files") ||
			!strings.Contains(fault.HintOf(err), "gatehost doctor main --repair") {
			t.Errorf("%s: %v, hint %q", name, err, fault.HintOf(err))
		}
		if err := w.e.Check(none, plan); err != nil {
			t.Errorf("%s: on request: %v", name, err)
		}
		if err := w.e.CheckAutomatic(granted, plan); err != nil {
			t.Errorf("%s: with the grant: %v", name, err)
		}
		if _, err := w.e.Execute(t.Context(), repair.Request{Plan: plan, Doctor: none, Automatic: true}); err == nil {
			t.Errorf("%s: executed", name)
		}
	}
	w.is(other, "code", 0o600)
	if err := w.e.CheckAutomatic(none, w.fix()); err != nil {
		t.Errorf("the vendor's doctor: %v", err)
	}
	if err := w.e.CheckAutomatic(none, writes(w.config, "{}", sum(broken))); err != nil {
		t.Errorf("the configuration: %v", err)
	}
	_, err := w.e.Execute(t.Context(), repair.Request{
		Plan: writes(w.config, "{}", sum(broken)), Doctor: none, Automatic: true,
	})
	if err != nil {
		t.Errorf("the configuration is not written: %v", err)
	}
	w.facts.ConfigPath = ""
	w.e.Retarget(w.facts, nil)
	if err := w.e.CheckAutomatic(none, writes(other, "x", sum("code"))); err == nil {
		t.Error("without a configuration file every file is taken for it")
	}
}

func TestAnswerThatTheSandboxSpoiledIsNoEvidence(t *testing.T) {
	w := newWorld(t)
	const said = "Error: EACCES: permission denied, mkdtemp '/home/me/.cache/x'"
	g := repair.Gatherer{
		Gateway: w.facts,
		Exec: func(_ context.Context, _ repair.Job, onLine func(plugin.Line)) (repair.Ran, error) {
			onLine(plugin.Line{Text: `{"valid":false,"issues":[{"message":"read failed: ` + said + `"}]}`})
			return repair.Ran{Sandboxed: true, Denied: said}, nil
		},
	}
	argv := append(slices.Clone(w.facts.Command), "config", "validate", "--json")
	e := g.Gather(t.Context(), repair.Named{Name: "d"}, []doctor.EvidenceRequest{{ID: "e", Argv: argv}})[0]
	if e.Available || e.Stdout != "" || e.Exit != nil || !strings.Contains(e.Problem, "EACCES") {
		t.Errorf("evidence %+v", e)
	}
}
