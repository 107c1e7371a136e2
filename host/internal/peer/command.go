package peer

import (
	"context"
	"strings"

	"github.com/shirou/gopsutil/v4/process"

	"github.com/gatehost/gatehost/internal/redact"
)

const maxCommand = 200

// Command returns a process's program and arguments, with secrets hidden, printable and bounded; "" when this user may
// not see it.
func Command(ctx context.Context, pid int) string {
	p, err := process.NewProcessWithContext(ctx, int32(pid)) //nolint:gosec // a pid
	if err != nil {
		return ""
	}
	args, err := p.CmdlineSliceWithContext(ctx)
	if err != nil || len(args) == 0 {
		name, _ := p.NameWithContext(ctx)
		return text(name, maxCommand)
	}
	return text(strings.Join(hide(args), " "), maxCommand)
}

// User returns the name of the user that a process runs as, printable and bounded; "" when it is not known.
func User(ctx context.Context, pid int) string {
	p, err := process.NewProcessWithContext(ctx, int32(pid)) //nolint:gosec // a pid
	if err != nil {
		return ""
	}
	name, err := p.UsernameWithContext(ctx)
	if err != nil {
		return ""
	}
	return text(name, maxCommand)
}

// hide replaces the values of flags that are named like secrets (B073).
func hide(args []string) []string {
	out := make([]string, 0, len(args))
	secret := false
	for _, a := range args {
		name, _, hasValue := strings.Cut(a, "=")
		switch {
		case secret:
			out, secret = append(out, redact.Mark), false
		case strings.HasPrefix(a, "-") && redact.Name(name) && hasValue:
			out = append(out, name+"="+redact.Mark)
		default:
			secret = strings.HasPrefix(a, "-") && redact.Name(name)
			out = append(out, a)
		}
	}
	return out
}
