package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// pkg is a package in the output of the go command.
type pkg struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// list asks the go command about all packages of the module in dir, on every platform that gatehost builds for: an
// import in a file for Windows is an import. args may hold an overlay.
func list(dir string, args ...string) ([]pkg, error) {
	merged := map[string]pkg{}
	for _, goos := range []string{"linux", "darwin", "windows"} {
		pkgs, err := listOn(goos, dir, args)
		if err != nil {
			return nil, err
		}
		for _, p := range pkgs {
			m := merged[p.ImportPath]
			m.ImportPath = p.ImportPath
			m.Imports = union(m.Imports, p.Imports)
			m.TestImports = union(m.TestImports, slices.Concat(p.TestImports, p.XTestImports))
			merged[p.ImportPath] = m
		}
	}
	out := slices.Collect(maps.Values(merged))
	slices.SortFunc(out, func(a, b pkg) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	return out, nil
}

func listOn(goos, dir string, args []string) ([]pkg, error) {
	args = append([]string{"list", "-e=false", "-tags=real", "-json=ImportPath,Imports,TestImports,XTestImports"},
		args...)
	cmd := exec.Command("go", append(args, "./...")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot list packages for %s: %w\n%s", goos, err, stderr.String())
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs, nil
		} else if err != nil {
			return nil, fmt.Errorf("cannot read what go list says: %w", err)
		}
		pkgs = append(pkgs, p)
	}
}

func union(a, b []string) []string {
	all := slices.Sorted(slices.Values(slices.Concat(a, b)))
	return slices.Compact(all)
}

// violations lists every import that no rule allows, every package without a rule, every rule without a package and
// every planned rule with one: a renamed folder must not invalidate its rule unnoticed.
func violations(pkgs []pkg, rules []rule) []string {
	var out []string
	used := map[string]bool{}
	for _, p := range pkgs {
		name := strings.TrimPrefix(p.ImportPath, module)
		i := slices.IndexFunc(rules, func(r rule) bool { return matches(r.from, name) })
		if i < 0 {
			out = append(out, fmt.Sprintf("%s has no rule: add one, with its reason", name))
			continue
		}
		r := rules[i]
		used[r.from] = true
		for _, imp := range p.Imports {
			if !r.allows(name, imp, false) {
				out = append(out, fmt.Sprintf("%s imports %s, which it may not: %s", name, imp, r.reason))
			}
		}
		for _, imp := range p.TestImports {
			if !r.allows(name, imp, true) {
				out = append(out, fmt.Sprintf("a test of %s imports %s, which it may not: %s", name, imp, r.reason))
			}
		}
	}
	for _, r := range rules {
		switch {
		case r.reason == "":
			out = append(out, fmt.Sprintf("the rule for %s has no reason", r.from))
		case !r.planned && !used[r.from]:
			out = append(out, fmt.Sprintf("the rule for %s matches no package: was it renamed?", r.from))
		case r.planned && used[r.from]:
			out = append(out,
				fmt.Sprintf("the rule for %s is marked planned, but the package is there: check it, drop the mark",
					r.from))
		}
	}
	return out
}

// table returns the rules in the form of docs/architecture.md.
func table(rules []rule) string {
	var b strings.Builder
	b.WriteString("| from | may import of ours | of others | no more, because |\n|---|---|---|---|\n")
	for _, r := range rules {
		from, mods := r.from, strings.Join(r.mods, " ")
		if r.planned {
			from += " (planned)"
		}
		if len(r.std) > 0 {
			mods = "std: " + strings.Join(r.std, " ")
		}
		may := strings.ReplaceAll(" "+strings.Join(r.may, " ")+" ", " "+own+" ", " its own folder ")
		may = strings.Replace(may, " "+strings.Join(kinds(), " ")+" ", " the kinds ", 1)
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", from, strings.TrimSpace(may),
			strings.Replace(mods, anything, "anything", 1), r.reason)
	}
	return b.String()
}
