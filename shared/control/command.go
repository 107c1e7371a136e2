package control

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Action is what a command does to a gateway.
type Action string

// The actions; each is POST /v1/gateways/{name}/{action}.
const (
	ActionStart   Action = "start"
	ActionStop    Action = "stop"
	ActionRestart Action = "restart"
	ActionReload  Action = "reload"
)

// Command is one command to one gateway.
type Command struct {
	Action Action `json:"-"`
	Reason string `json:"reason,omitempty"` // for people, in events and logs
	// WaitMs bounds the wait for the outcome; nil: as long as there is progress; 0: not at all.
	WaitMs *int64 `json:"waitMs,omitempty"`
	Now    bool   `json:"now,omitempty"`   // stop: without the grace
	Drain  bool   `json:"drain,omitempty"` // stop: let work in flight end first
	// External, of stop: also shut down a gateway that gatehost did not start; without it, such a gateway is only
	// detached.
	External bool `json:"external,omitempty"`
	// Force, of restart: also when the next start would fail.
	Force bool `json:"force,omitempty"`
	// Debounce, of restart and reload: wait for further requests of the kind, as long as the gateway's configuration
	// says, or DelayMs; such a request never starts a gateway that is stopped.
	Debounce bool  `json:"debounce,omitempty"`
	DelayMs  int64 `json:"delayMs,omitempty"`
}

// Outcomes of a command.
const (
	OutcomeApplied    = "applied"
	OutcomeJoined     = "joined"   // part of an operation that was under way already
	OutcomeDeferred   = "deferred" // postponed first, then applied
	OutcomeDetached   = "detached" // of stop: the host left a gateway that it did not start, which runs on
	OutcomeSuperseded = "superseded"
	OutcomeFailed     = "failed"
	OutcomeAccepted   = "accepted" // the command was accepted; its end was not waited for
)

// Outcome is how a command ended. Gateway is the status right after it; Error is set with failed and superseded.
type Outcome struct {
	Outcome string   `json:"outcome"`
	Error   *Failure `json:"error,omitempty"`
	TookMs  int64    `json:"tookMs"`
	Gateway *Gateway `json:"gateway,omitempty"`
}

// RPCRequest is one call to a gateway.
type RPCRequest struct {
	Method    string          `json:"method"`
	Params    json.RawMessage `json:"params,omitempty"`
	TimeoutMs int64           `json:"timeoutMs,omitempty"` // 0: 30 s
}

// RPCResponse has exactly one of both fields.
type RPCResponse struct {
	Payload json.RawMessage `json:"payload,omitempty"`
	Error   *RPCError       `json:"error,omitempty"`
}

// RPCError is a gateway's own answer that a call failed.
type RPCError struct {
	Code         string          `json:"code"`
	Message      string          `json:"message"`
	Details      json.RawMessage `json:"details,omitempty"`
	Retryable    bool            `json:"retryable"`
	RetryAfterMs *int64          `json:"retryAfterMs,omitempty"`
}

// Error is "CODE: message".
func (e *RPCError) Error() string { return e.Code + ": " + e.Message }

// LogsQuery is what to read of a gateway's output.
type LogsQuery struct {
	Follow bool
	Tail   int // lines before following; 0: all that are kept
	Since  time.Time
	Level  string // least: debug, info, warn, error; "" all
}

// LogLine is one line of NDJSON of a gateway's output.
type LogLine struct {
	Cursor   uint64 `json:"cursor,omitempty"`
	Line     uint64 `json:"line,omitempty"` // number of the line in its launch, over both streams
	Time     Time   `json:"time,omitzero"`
	LaunchID string `json:"launchId,omitempty"`
	Stream   string `json:"stream,omitempty"` // stdout, stderr
	Level    string `json:"level,omitempty"`
	Text     string `json:"text"`
	Symptom  string `json:"symptom,omitempty"`
	RuleID   string `json:"ruleId,omitempty"`
	Plugin   string `json:"plugin,omitempty"` // the classifier that decided; absent when none claimed the line
	// what the other classifiers that claimed it say, in order of the chain
	Also      []Claim  `json:"also,omitempty"`
	Tags      []string `json:"tags,omitempty"`
	Truncated bool     `json:"truncated,omitempty"`
	// Hidden lines are shown only when every line is asked for: repeats, and lines that a rule drops.
	Hidden bool `json:"hidden,omitempty"`
	// LostBytes, on a line without text, says that output was lost before it could be read.
	LostBytes uint64 `json:"lostBytes,omitempty"`
	LostLines uint64 `json:"lostLines,omitempty"`
}

// Claim is what a classifier says about a line that another classifier decided. It causes no action.
type Claim struct {
	Plugin  string `json:"plugin"`
	Level   string `json:"level,omitempty"`
	RuleID  string `json:"ruleId,omitempty"`
	Symptom string `json:"symptom,omitempty"`
}

// Doctor actions.
const (
	DoctorDiagnose = "diagnose"
	DoctorRepair   = "repair"
	DoctorUndo     = "undo"
	DoctorHistory  = "history" // repairs and kept configurations; changes nothing
)

// RestoreLastGood is the kept configuration with which the gateway ran last.
const RestoreLastGood = "last-good"

// DoctorRequest asks the doctors of a gateway.
type DoctorRequest struct {
	Action string `json:"action"`
	DryRun bool   `json:"dryRun,omitempty"` // repair, undo: only the plan and its difference
	Stop   bool   `json:"stop,omitempty"`   // repair, undo: stop a running gateway first, start it after
	// Restore, of repair: bring back this kept configuration instead of asking the doctors for a plan: RestoreLastGood,
	// or an id.
	Restore string `json:"restore,omitempty"`
	ID      string `json:"id,omitempty"` // undo: which repair; "": the last one
}

// Types of DoctorMessage.
const (
	DoctorFindingMessage  = "finding"
	DoctorSkippedMessage  = "skipped" // a doctor that could not be asked, or an answer or request that was refused
	DoctorPlanMessage     = "plan"
	DoctorProgressMessage = "progress"
	DoctorRecordMessage   = "record" // a repair, of DoctorHistory
	DoctorKeptMessage     = "kept"   // a kept configuration, of DoctorHistory
	DoctorResultMessage   = "result" // the last one
)

// DoctorMessage is one line of NDJSON of a doctor's work.
type DoctorMessage struct {
	Type     string         `json:"type"`
	Finding  *DoctorFinding `json:"finding,omitempty"`
	Skipped  *DoctorSkipped `json:"skipped,omitempty"`
	Plan     *DoctorPlan    `json:"plan,omitempty"`
	Progress string         `json:"progress,omitempty"`
	Record   *DoctorRecord  `json:"record,omitempty"`
	Kept     *DoctorKept    `json:"kept,omitempty"`
	Result   *DoctorResult  `json:"result,omitempty"`
}

// DoctorFinding is one thing that a doctor says is wrong.
type DoctorFinding struct {
	Plugin     string   `json:"plugin"`
	Code       string   `json:"code"`
	Severity   string   `json:"severity"`
	Text       string   `json:"text"`
	Hint       string   `json:"hint,omitempty"`
	Repairable bool     `json:"repairable"`
	ConfigPath string   `json:"configPath,omitempty"` // place inside the gateway's configuration
	Evidence   []string `json:"evidence,omitempty"`
}

// What a command is run for (DoctorCommand.Kind).
const (
	DoctorCommandEvidence = "evidence" // a doctor wants to know something
	DoctorCommandStep     = "step"     // of a plan
)

// DoctorCommand is a command that was run for a doctor, or that the host refused to run for it.
type DoctorCommand struct {
	Plugin     string   `json:"plugin"`
	Kind       string   `json:"kind"`               // evidence, step
	Argv       []string `json:"argv"`               // secrets hidden; long ones are cut
	Refused    bool     `json:"refused"`            // nothing was run; error says why
	Code       *int     `json:"code,omitempty"`     // the exit code, of a command that ended by itself
	Signal     string   `json:"signal,omitempty"`   // that ended it
	TimedOut   bool     `json:"timedOut,omitempty"` // it was ended at its time limit
	DurationMs int64    `json:"durationMs"`
	Sandboxed  bool     `json:"sandboxed"`
	Why        string   `json:"why,omitempty"` // why evidence was not sandboxed
	Error      *Failure `json:"error,omitempty"`
}

// DoctorSkipped is a doctor without an answer, or a part of its answer that the host refused, with the reason.
type DoctorSkipped struct {
	Plugin string   `json:"plugin"`
	Error  *Failure `json:"error"`
}

// DoctorPlan is what would be done.
type DoctorPlan struct {
	Plugin string   `json:"plugin"`
	Title  string   `json:"title"`
	Steps  []string `json:"steps"`
	Diff   string   `json:"diff,omitempty"`
}

// HostDoctor is the name of the host where a doctor is named.
const HostDoctor = "gatehost"

// DoctorResult is how it ended: healthy (the gateway runs, and nothing is known to be wrong), findings, nothing-found
// (nothing is known to be wrong, and the gateway does not run, or a doctor gave no answer), unanswered (no doctor could
// answer), planned, offered (it would be done if it were asked for by name), repaired, nothing-to-do, undone, listed,
// failed.
type DoctorResult struct {
	Outcome string `json:"outcome"`
	Detail  string `json:"detail,omitempty"` // a sentence for people
	Next    string `json:"next,omitempty"`   // the command that a person runs next
	// whose plan was executed; HostDoctor: a kept configuration was brought back
	Doctor string   `json:"doctor,omitempty"`
	Title  string   `json:"title,omitempty"` // of that plan
	Error  *Failure `json:"error,omitempty"`
	Diff   string   `json:"diff,omitempty"`
	Backup string   `json:"backup,omitempty"` // the former content: its id for undo
	Aside  []string `json:"aside,omitempty"`  // where the broken file is kept
}

// DoctorRecord is a repair, or an undo, that can be undone.
type DoctorRecord struct {
	ID       string   `json:"id"`
	Time     Time     `json:"time"`
	Doctor   string   `json:"doctor,omitempty"`
	Title    string   `json:"title"`
	Finding  string   `json:"finding,omitempty"` // the code of the finding that it was to repair
	Outcome  string   `json:"outcome"`           // running, done, failed, cancelled, unknown, cut-off
	UndoOf   string   `json:"undoOf,omitempty"`
	UndoneBy string   `json:"undoneBy,omitempty"`
	Files    []string `json:"files,omitempty"`
	Aside    []string `json:"aside,omitempty"`
	Undoable bool     `json:"undoable"` // an undo would bring back something that is not there now
}

// DoctorKept is a configuration with which the gateway came to run.
type DoctorKept struct {
	ID      string `json:"id"`
	Path    string `json:"path"`
	Bytes   int    `json:"bytes"`
	First   Time   `json:"first"`
	Last    Time   `json:"last"`
	Present bool   `json:"present"` // the file is this one now
}

// Plugins is the answer to GET /v1/plugins.
type Plugins struct {
	Plugins []Plugin `json:"plugins"`
}

// Health is the answer to GET /healthz.
type Health struct {
	OK      bool   `json:"ok"`
	Version string `json:"version"`
	PID     int    `json:"pid"`
}

// Problem is an error of the API: application/problem+json (RFC 9457) with a stable code.
type Problem struct {
	Type      string `json:"type,omitempty"` // absent: about:blank
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Title     string `json:"title"`
	Detail    string `json:"detail,omitempty"`
	Hint      string `json:"hint,omitempty"`
	Retryable bool   `json:"retryable,omitempty"`
	// Faults are all faults of a configuration file, each with its place.
	Faults []string `json:"faults,omitempty"`
}

// HostRestarting is the answer to a request that the end of the host interrupted, or prevents: it may be sent to the
// next host.
func HostRestarting() *Problem {
	return &Problem{
		Status: http.StatusServiceUnavailable, Code: CodeHostRestarting, Title: "Service Unavailable",
		Detail: "the host is shutting down",
		Hint:   "ask again when the host is back", Retryable: true,
	}
}

// Codes of problems that clients act on; the others are those of package fault.
const (
	CodeNoSuchGateway  = "no_such_gateway"
	CodeNoSuchPlugin   = "no_such_plugin"
	CodeNotFound       = "not_found"
	CodeBadRequest     = "bad_request"
	CodeTimedOut       = "timed_out" // the operation may still finish
	CodeNotImplemented = "not_implemented"
	CodeHostRestarting = "host_restarting" // try again
	CodeForbidden      = "permission_denied"
	CodeBadConfig      = "bad_config"       // Problem.Faults says what is wrong with config.toml; nothing was changed
	CodeGatewaysGone   = "gateways_missing" // the file no longer has gateways that are supervised; nothing was changed
	CodeInternal       = "internal"
)

// Error returns the detail, or the title when there is none.
func (p *Problem) Error() string {
	switch {
	case p.Detail != "":
		return p.Detail
	case p.Title != "":
		return p.Title
	default:
		return fmt.Sprintf("the host answered with status %d", p.Status)
	}
}
