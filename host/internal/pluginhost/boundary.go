package pluginhost

import (
	"fmt"
	"strings"

	"github.com/gatehost/gatehost/shared/fault"
)

// refusals are the words by which programs say that the kernel refused them something: Go, Node, Python, C.
var refusals = []string{"permission denied", "eacces", "operation not permitted", "eperm"}

// boundary looks at the error of a call to a plugin that is shut in: what reads like a refusal is told to the operator, who alone can
// say whether the plugin should have asked. The kernel does not tell us more: its own record goes to the audit log.
func (p proxy) boundary(m method, err error) error {
	if err == nil || p.s == nil || p.s.spec().Sandbox == nil {
		return err
	}
	text := strings.ToLower(err.Error())
	refused := fault.CodeOf(err) == fault.PermissionDenied
	for _, word := range refusals {
		refused = refused || strings.Contains(text, word)
	}
	if !refused {
		return err
	}
	hint := fmt.Sprintf("the plugin is shut in; if it may have that, name it in plugins.%s.sandbox, then run `gatehost plugin restart %s`", p.name, p.name)
	p.s.log.Warn("plugin was refused something outside of its sandbox", "call", m.name, "error", err, "hint", hint)
	return &fault.Error{Code: fault.PermissionDenied, Hint: hint, Cause: err}
}
