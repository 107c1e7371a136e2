package pluginhost

import (
	"time"

	"github.com/hashicorp/go-hclog"
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
	for _, m := range []method{
		launch, list, recoverLaunch, inspectLaunch, signal, stop, release, execute, output,
		inspectUnits, unload, restore, diagnose, plan, repair, verify, classify,
	} {
		out = append(out, MethodRow{m.name, m.deadline, m.idempotent})
	}
	return out
}

// NewLogs takes lines as those of a plugin.
func NewLogs(out hclog.Logger) func(line string) { return newLogs(out, func(string) {}).take }
