package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
)

// pkg is what the go command says of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

// list asks the go command about all packages of the module in dir; args may hold an overlay.
func list(dir string, args ...string) ([]pkg, error) {
	cmd := exec.Command("go", append(append([]string{"list", "-json=ImportPath,Imports,Standard"}, args...), "./...")...) //nolint:gosec,noctx // a test's own arguments
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr.String())
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs, nil
		} else if err != nil {
			return nil, err
		}
		pkgs = append(pkgs, p)
	}
}

// violations is every import that no rule allows, every package without a rule, and every rule without a package: a renamed folder must
// not rot its rule.
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
		used[rules[i].from] = true
		for _, imp := range p.Imports {
			if bad := judge(rules[i], name, imp); bad != "" {
				out = append(out, bad)
			}
		}
	}
	for _, r := range rules {
		if !used[r.from] {
			out = append(out, fmt.Sprintf("the rule for %s matches no package: was it renamed?", r.from))
		}
	}
	return out
}

func judge(r rule, name, imp string) string {
	ours, isOurs := strings.CutPrefix(imp, module)
	outside := strings.Contains(strings.Split(imp, "/")[0], ".")
	shimOutside := matches("shared/shim/...", name) && outside && !strings.HasPrefix(imp, "golang.org/x/sys/")
	switch {
	case isOurs && (ours == name || slices.ContainsFunc(r.may, func(m string) bool { return matches(m, ours) })):
		return ""
	case !isOurs && len(r.std) == 0 && !shimOutside:
		return ""
	case !isOurs && len(r.std) > 0 && slices.Contains(r.std, imp):
		return ""
	default:
		return fmt.Sprintf("%s imports %s, which it may not: %s", name, imp, r.reason)
	}
}
