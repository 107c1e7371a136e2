// Package doctor is the kind of plugin that finds out what is wrong with a gateway and proposes what would repair it.
// The host decides: consent, backup, difference, execution, verification and undo are the host's.
//
// The contract is in shared/proto/gatehost/plugin/v1alpha1/doctor.proto. One method is optional, see Verifier.
package doctor

import (
	"context"
	"time"

	"github.com/gatehost/gatehost/shared/plugin"
)

// Doctor examines one kind of gateway. It is called once at a time for one gateway.
type Doctor interface {
	// Diagnose says what is wrong, or which evidence it wants first; changes nothing. Errors: fault.Unsupported (a
	// profile that it does not know).
	Diagnose(ctx context.Context, req DiagnoseRequest) (Diagnosis, error)
	// Plan returns the steps that would repair a finding of its own; nil or no steps: this doctor cannot repair it.
	// Errors: fault.Unsupported (not my finding).
	Plan(ctx context.Context, gw plugin.GatewayFacts, f Finding) (*Plan, error)
	// Repair does one delegated step; idempotent. Cancelling leaves every file readable. A doctor whose plans have no
	// Delegate steps returns fault.Unsupported.
	Repair(ctx context.Context, req RepairRequest, progress func(Progress)) (RepairResult, error)
}

// DiagnoseRequest asks what is wrong.
type DiagnoseRequest struct {
	Gateway  plugin.GatewayFacts
	Incident *Incident // nil when a diagnosis is asked for without one
	Evidence []Evidence
}

// Incident is what the host saw go wrong.
type Incident struct {
	Exit         *plugin.Exit // nil: it lives or never was
	Lines        []plugin.Line
	Symptoms     []plugin.Symptom
	ErrorCode    string
	ErrorMessage string
	Attempt      int
	Repaired     bool
}

// Diagnosis is findings, or a request for evidence (then findings are ignored).
type Diagnosis struct {
	Findings []Finding
	Wants    []EvidenceRequest
}

// Codes that the host knows. When no doctor repairs the configuration that such a finding is about, the host may bring
// back the last one with which the gateway ran. A plan for CodeConfigInvalid is verified: its doctor is asked again
// without an incident, and a plan after which it still has the finding is undone. A Verifier is asked that directly,
// and after each plan.
const (
	CodeConfigInvalid = "config-invalid" // the gateway refuses its configuration
	CodeConfigMissing = "config-missing" // it does not start without one
)

// Finding is one thing that is wrong.
type Finding struct {
	Code       string // stable, see CodeConfigInvalid
	Severity   plugin.Severity
	Text       string
	Hint       string
	Repairable bool
	Fatal      bool // starting again without a change is pointless
	OtherOwner bool // another process owns the port or the state
	Evidence   []string
	ConfigPath string // place inside the configuration
	Data       []byte // opaque to the host, at most 64 KiB
}

// EvidenceRequest asks for a command (Argv) or the facts of a file (File), exactly one of them.
type EvidenceRequest struct {
	ID      string
	Argv    []string // read-only; begins with GatewayFacts.Command
	Timeout time.Duration
	File    string // inside StateDir, or ConfigPath
}

// Evidence is what was found.
type Evidence struct {
	ID        string
	Available bool
	Problem   string
	Exit      *plugin.Exit
	Stdout    string
	Stderr    string
	Exists    bool
	Size      uint64
	SHA256    string
	Content   []byte // only with plugin.GrantGatewayConfig
}

// Plan is what would repair a finding.
type Plan struct {
	Title   string
	Steps   []Step // at most 32
	Touches []string
}

// Step is one step: exactly one of Exec, WriteFile, Delegate is set.
type Step struct {
	Title     string
	Exec      *ExecStep
	WriteFile *WriteFileStep
	Delegate  *DelegateStep
}

// ExecStep runs a command in the gateway's context.
type ExecStep struct {
	Argv         []string // begins with GatewayFacts.Command
	Timeout      time.Duration
	SuccessCodes []int // empty: 0
}

// WriteFileStep replaces a file; ExpectedSHA256 "" means that none is there.
type WriteFileStep struct {
	Path           string
	Content        []byte
	ExpectedSHA256 string
}

// DelegateStep is done by the doctor itself; Paths are the only files it changes.
type DelegateStep struct {
	ID      string
	Timeout time.Duration
	Paths   []string
}

// RepairRequest does a delegated step.
type RepairRequest struct {
	Gateway plugin.GatewayFacts
	Finding Finding
	StepID  string
	DryRun  bool
}

// Progress is a sign of life of a repair; Percent nil: not known.
type Progress struct {
	Text    string
	Percent *int
}

// RepairResult is how a delegated step ended.
type RepairResult struct {
	Changed bool
	Summary string
}
