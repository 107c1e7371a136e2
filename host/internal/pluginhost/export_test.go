package pluginhost

import (
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/internal/redact"
)

// MethodRow is a row of the table of deadlines as this package has it.
type MethodRow struct {
	Name       string
	Deadline   time.Duration
	Idempotent bool
}

// MethodTable is the whole table, for the test that compares it with the contract.
func MethodTable() []MethodRow {
	var out []MethodRow
	for _, m := range methods {
		out = append(out, MethodRow{m.name, m.deadline, m.idempotent})
	}
	return out
}

// MethodName is the name by which the table has a method of gRPC.
func MethodName(fullMethod string) string { return nameOf(fullMethod) }

// NewLogs takes lines as those of a plugin.
func NewLogs(out hclog.Logger, known *redact.Known) func(line string) {
	return newLogs(out, known, func(string) {}).take
}
