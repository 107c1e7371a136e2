package gatewaytest

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// doctorCommand plays `doctor` by the table of docs/openclaw.md §5: it drops unknown keys, makes a missing file,
// rewrites a valid one and gives up on everything else.
func (p *program) doctorCommand(args []string) int {
	fix, asJSON, lint := false, false, false
	for _, a := range args {
		switch a {
		case "--fix", "--repair":
			fix = true
		case "--json":
			asJSON = true
		case "--lint":
			lint = true
		case "--yes", "--non-interactive", "--deep", "--force":
		default:
			p.print(p.stderr, "error: unknown option '"+a+"'")
			return 1
		}
	}
	switch {
	case asJSON:
		return p.findings(lint)
	case !fix:
		p.print(p.stdout, "┌  OpenClaw doctor\n│\n└  Doctor complete.")
		return 0
	}
	return p.fix()
}

func (p *program) fix() int {
	p.print(p.stdout, "┌  OpenClaw doctor")
	script, _ := parseScript(p.env["EMULATOR_MISBEHAVE"]) // the gateway complains of one that makes no sense
	time.Sleep(time.Duration(script.number("slow-doctor")) * time.Millisecond)
	path := p.configPath()
	if owned(p.stateDir()) {
		p.print(p.stderr, contention)
		return 1
	}
	config, err := readConfig(path)
	switch {
	case err != nil:
		p.print(p.stderr, err.Error())
		return 1
	case p.release.doctor == leaves:
		return p.leave(config)
	case config.syntax != nil && p.release.doctor == replaces:
		return p.rewrite(snapshot{exists: true, raw: config.raw}, map[string]any{}, nil)
	case config.syntax != nil:
		p.print(p.stderr, "Config ("+path+"): best-effort read ignored unparseable config: "+config.syntax.Error())
		p.print(p.stderr,
			"Doctor could not complete maintenance. Check the reported service state and resolve the failure.")
		p.print(p.stderr,
			"Config at "+path+" is not parseable and cannot be repaired automatically. The file remains unchanged. Inspect "+
				"the exact parse error with openclaw config validate, then hand-edit the file; or move it aside and run "+
				"openclaw onboard to generate a fresh config.")
		return 1
	}
	if !config.valid() {
		p.box("Config", "Config invalid; doctor will run with best-effort config.")
	}
	if script.has("useless-doctor") {
		return p.rewrite(config, config.value, nil)
	}
	next, dropped := drop(config)
	if rest := parseConfig(render(next)); !rest.valid() {
		lines := []string{"Doctor could not apply config fixes: the repaired config still fails", "validation."}
		for _, i := range rest.issues {
			lines = append(lines, "- "+i.path+": "+i.message)
		}
		p.box("Doctor warnings", append(lines, "No config changes were written. Fix the value(s) above in",
			path+` by hand, then rerun "openclaw doctor --fix".`)...)
		p.print(p.stdout, "│\n└  Doctor finished, but config fixes were not applied.\n")
		return 1
	}
	return p.rewrite(config, next, dropped)
}

// leave is the doctor of 2026.3.13: it writes only what it repaired, and says that all is well where it could not,
// unless a repair fails.
func (p *program) leave(config snapshot) int {
	next, dropped := drop(config)
	if !config.valid() {
		p.box("Config", "Config invalid; doctor will run with best-effort config.")
	}
	if len(dropped) > 0 {
		if rest := parseConfig(render(next)); !rest.valid() {
			p.box("Doctor changes", dropped...)
			p.print(p.stderr, "Error: Config validation failed: "+rest.issues[0].path+": "+rest.issues[0].message)
			return 1
		}
		return p.rewrite(config, next, dropped)
	}
	p.print(p.stdout, "│\n└  Doctor complete.\n")
	return 0
}

// rewrite writes what doctor --fix leaves behind, also where there was nothing to repair.
func (p *program) rewrite(config snapshot, next map[string]any, dropped []string) int {
	path := p.configPath()
	if len(dropped) > 0 {
		p.box("Doctor changes", dropped...)
	}
	next, _ = merge(next, map[string]any{
		"agents": map[string]any{"entries": map[string]any{"main": map[string]any{}}},
		"wizard": map[string]any{
			"lastRunAt": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "lastRunVersion": p.release.version,
			"lastRunCommand": "doctor", "lastRunMode": "local",
		},
		"meta": map[string]any{"migrations": map[string]any{
			"modelPolicyAllowlist":   true,
			"utilityModelSeparation": true,
		}, "lastTouchedVersion": p.release.version},
	}).(map[string]any)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil && config.exists {
		err = os.WriteFile(path+".bak", []byte(config.raw), 0o600)
	}
	if err == nil {
		err = replaceFile(path, render(next))
	}
	if err != nil {
		p.print(p.stderr, err.Error())
		return 1
	}
	p.print(p.stdout, "Updated config: "+path)
	if config.exists {
		p.print(p.stdout, "  Backup: "+path+".bak")
	}
	if textOf(snapshot{value: next}.at("gateway.mode")) == "" {
		p.box("Gateway", "gateway.mode is unset; gateway start will be blocked.",
			"Fix: run openclaw configure and set Gateway mode (local/remote).",
			"Or set directly: openclaw config set gateway.mode local", "Missing config: run openclaw setup first.")
	}
	p.print(p.stdout, "│\n└  Doctor complete.\n")
	return 0
}

// drop removes what doesn't belong there and names it.
func drop(config snapshot) (next map[string]any, dropped []string) {
	next = asObject(merge(config.value, map[string]any{}))
	for _, i := range config.issues {
		for _, name := range i.unknown {
			patch := any(nil)
			parts := []string{name}
			if i.path != "" {
				parts = append(strings.Split(i.path, "."), name)
			}
			for _, part := range slices.Backward(parts) {
				patch = map[string]any{part: patch}
			}
			next = asObject(merge(next, patch))
			dropped = append(dropped, "- "+strings.Join(parts, "."))
		}
	}
	return next, dropped
}

func (p *program) box(title string, lines ...string) {
	width := len(title) + 6
	for _, l := range lines {
		width = max(width, len([]rune(l))+4)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "│\n◇  %s %s╮\n", title, strings.Repeat("─", width-len(title)-3))
	for _, l := range append([]string{""}, append(lines, "")...) {
		fmt.Fprintf(&b, "│  %s%s│\n", l, strings.Repeat(" ", width-len([]rune(l))-2))
	}
	fmt.Fprintf(&b, "├%s╯", strings.Repeat("─", width))
	p.print(p.stdout, b.String())
}

// findings is doctor --json: exit 0 whatever it finds, with --lint 1.
func (p *program) findings(lint bool) int {
	config, err := readConfig(p.configPath())
	found := []any{}
	if err != nil {
		found = append(found, map[string]any{
			"checkId": "core/doctor/final-config-validation", "severity": "error",
			"message": err.Error(),
		})
	}
	for _, i := range config.issues {
		found = append(found, map[string]any{
			"checkId": "core/doctor/final-config-validation", "severity": "error", "message": i.message,
			"path":    orDefault(i.path, "<root>"),
			"fixHint": `Run "openclaw doctor --fix" to repair.`,
		})
	}
	found = append(found, map[string]any{
		"checkId": "core/doctor/node-hosting-preconditions", "severity": "warning", "path": "gateway.bind",
		"message": "Gateway is only bound to loopback. Set gateway.bind=lan, enable tailscale serve, or configure " +
			"plugins.entries.device-pair.config.publicUrl.",
	})
	p.json(p.stdout, map[string]any{
		"schemaVersion": 1, "ok": false, "checksRun": 40, "checksSkipped": 0,
		"findings": found,
	})
	if lint {
		return 1
	}
	return 0
}

// configCommand plays `config validate`.
func (p *program) configCommand(args []string) int {
	if len(args) == 0 || args[0] != "validate" || len(args) > 2 || len(args) == 2 && args[1] != "--json" {
		p.print(p.stderr, "error: the emulator knows `config validate [--json]` only")
		return 1
	}
	path := p.configPath()
	config, err := readConfig(path)
	if err != nil {
		p.print(p.stderr, err.Error())
		return 1
	}
	if config.valid() && config.exists {
		switch {
		case len(args) == 2 && p.release.data != "":
			p.print(p.stdout, fmt.Sprintf(`{"valid":true,"path":%q}`, path))
		case len(args) == 2:
			p.print(p.stdout, fmt.Sprintf(`{"valid":true,"path":%q,"warnings":[]}`, path))
		default:
			p.print(p.stdout, "Config valid: "+p.short(path))
		}
		return 0
	}
	p.reportInvalid(config, len(args) == 2)
	return 1
}

func (p *program) reportInvalid(config snapshot, asJSON bool) {
	path, message := p.configPath(), "file not found"
	if config.exists {
		message = "OpenClaw config is invalid: " + p.short(path)
	}
	if !asJSON {
		p.print(p.stderr, message)
		for _, l := range config.lines(path) {
			p.print(p.stderr, l)
		}
		return
	}
	if !config.exists && p.release.data != "" {
		p.print(p.stdout, fmt.Sprintf(`{"valid":false,"path":%q,"error":"file not found"}`, path))
		return
	}
	out := map[string]any{
		"ok": false, "error": map[string]any{"type": "cli_error", "message": message}, "valid": false,
		"path": path,
	}
	issues := []any{}
	for _, i := range config.issues {
		one := map[string]any{"path": orDefault(i.path, "<root>"), "message": p.release.words(i)}
		if i.allowed != nil {
			one["allowedValues"] = i.allowed
		}
		issues = append(issues, one)
	}
	if config.exists {
		out["issues"] = issues
	}
	if p.release.data != "" {
		delete(out, "ok")
		delete(out, "error")
	}
	p.json(p.stdout, out)
}

// short writes a path below the home directory with a tilde.
func (p *program) short(path string) string {
	if rest, ok := strings.CutPrefix(path, p.env["HOME"]+"/"); ok && p.env["HOME"] != "" {
		return "~/" + rest
	}
	return path
}

func (p *program) json(out io.Writer, v any) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		panic(err) // it is made of texts
	}
	p.print(out, strings.TrimSpace(b.String()))
}
