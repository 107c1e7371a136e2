package openclawdoctor

import (
	"regexp"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/plugin"
)

// levelRule decides how loud a line is. The first that matches wins. All of its words must be in the trimmed line
// without colour codes, in any order, case and all.
type levelRule struct {
	id    string
	all   []string
	level classifier.Level
	// symptom, when the line also holds one of shownBy; nil means in any case.
	symptom plugin.Symptom
	shownBy []string
}

// levelRules are the reference's (B292) and the later project's (B294), in the later project's order.
var levelRules = []levelRule{
	{id: "startup-trace", all: []string{"startup trace:"}, level: classifier.LevelInfo},
	{
		id: "control-ui-token-mismatch", all: []string{"openclaw-control-ui", "token_mismatch"},
		level:   classifier.LevelDrop,
		symptom: plugin.SymptomTokenMismatch,
	},
	{
		id: "closed-token-mismatch", all: []string{"closed before connect", "token mismatch"},
		level: classifier.LevelDrop,
		// not a proxy's complaint
		symptom: plugin.SymptomTokenMismatch, shownBy: []string{"[ws]", "gateway token mismatch"},
	},
	{id: "probe-closed-1005", all: []string{"[ws] closed before connect", "code=1005"}, level: classifier.LevelDebug},
	{
		id:    "probe-closed-1006",
		all:   []string{"[ws] closed before connect", "code=1006", "phase=ws_upgrade_started", "ua=n/a"},
		level: classifier.LevelDebug,
	},
	{
		id: "security-flags", all: []string{"security warning: dangerous config flags enabled"},
		level: classifier.LevelDebug,
	},
	{id: "node-experimental", all: []string{"ExperimentalWarning"}, level: classifier.LevelDebug},
	{id: "node-deprecation", all: []string{"DeprecationWarning"}, level: classifier.LevelDebug},
	{
		id: "legacy-env-continuation", all: []string{"Rename them by replacing the legacy prefix with OPENCLAW_"},
		level: classifier.LevelDebug,
	},
	{
		id: "deprecation-continuation", all: []string{"--trace-deprecation", "show where the warning was created"},
		level: classifier.LevelDebug,
	},
	{id: "debugger-attached", all: []string{"Debugger attached"}, level: classifier.LevelDebug},
	{
		id: "node-options-require", all: []string{"node: --require is not allowed in NODE_OPTIONS"},
		level: classifier.LevelDebug,
	},
	{id: "config-warnings", all: []string{"Config warnings:"}, level: classifier.LevelDebug},
}

// symptomRule finds what a line shows. The first that matches wins, so what must never be repaired or retried stands
// before what would be. Case does not count. A pattern is looked at only in lines that hold one of its words, so the
// usual line costs a few searches.
type symptomRule struct {
	id      string
	symptom plugin.Symptom
	words   []string       // lower case; one must be there
	pattern *regexp.Regexp // nil: the word is enough
	port    bool           // a port that the line names must be the gateway's own
}

// symptomRules: the patterns of docs/behaviour.md §19 word for word, with B306's wordings, and what the measured
// releases print.
var symptomRules = []symptomRule{
	{
		id: "runtime-unsupported-node", symptom: plugin.SymptomRuntimeFatal,
		words:   []string{"outside the supported range"},
		pattern: compile(`\bNode(?:\.js)?\b.*\boutside the supported range\b`),
	},
	{
		id: "runtime-unsafe-sqlite", symptom: plugin.SymptomRuntimeFatal, words: []string{"wal-reset-safe"},
		pattern: compile(`\buses SQLite\b.*\bnot WAL-reset-safe\b|\bSQLite\b.*\bWAL-reset-safe runtime required\b`),
	},
	{
		id: "runtime-install-node", symptom: plugin.SymptomRuntimeFatal, words: []string{"install node 24.15+"},
		pattern: compile(`\bInstall Node 24\.15\+.*\bNode 22\.22\.3\+\b`),
	},
	{
		id: "migration-lease", symptom: plugin.SymptomMigrationLocked, words: []string{
			"startup migration",
			"retry after the other",
		},
		pattern: compile(`\bstartup migrations? (?:is|are) already running\b` +
			`|\bretry after the other (?:gateway|OpenClaw process) finishes\b`), // the second wording is B306
	},
	{ // measured on 2026.9.6 and in its node-sqlite.mjs: B303's words are of releases before
		id: "runtime-refused-node", symptom: plugin.SymptomRuntimeFatal,
		words: []string{": node:sqlite", ": openclaw requires node", "not wal-reset-safe; use"},
		pattern: compile(
			`\bopenclaw: Node \S+: (?:node:sqlite\b.*; use|openclaw requires Node\b|SQLite \S+ is not WAL-reset-safe; use)`),
	},
	{ // docs/openclaw.md §4: exit 78, and doctor --fix fails in this state
		id: "second-instance", symptom: plugin.SymptomStateLocked,
		words: []string{"owns gateway-lifecycle", "gateway already running"},
		// the last is 2026.3 and 2026.5
		pattern: compile(`owns gateway-lifecycle\b|\bgateway already running \(pid \d+\)`),
	},
	{ // 2026.9.6: the owner may be gone, and its lease then ends by itself
		id: "owner-lease", symptom: plugin.SymptomStateLocked, words: []string{"gateway owner lease is still active"},
	},
	// it follows the cause and names none: a second instance, a full disk, a state directory that may not be read (all
	// measured)
	{
		id: "maintenance-required", symptom: plugin.NoSymptom, words: []string{
			"gateway.maintenance_required",
			"requires state migration. stop the service",
		},
	},
	{
		id: "port-in-use", symptom: plugin.SymptomPortConflict, port: true,
		words: []string{"already listening on ws://", "eaddrinuse", "is already in use"},
		pattern: compile(`\banother gateway instance is already listening on ws://|\blisten EADDRINUSE\b` +
			`|^(?:[^\s]+ )?Port \d+ is already in use\b`),
	},
	{
		id: "config-missing", symptom: plugin.SymptomConfigMissing,
		words: []string{"missing config. run", "missing gateway.mode", "gateway.mode is required"},
		pattern: compile(
			"\\bMissing config\\. Run `?openclaw setup\\b|\\bexisting config is missing gateway\\.mode\\b" +
				`|\bgateway\.mode is required\b`),
	},
	{
		id: "crash-loop-breaker", symptom: plugin.SymptomChannelsSuppressed,
		words: []string{"restart-loop breaker tripped"},
	},
	{ // 2026.9.6, when an update replaces its files
		id: "install-replaced", symptom: plugin.SymptomInstallReplaced, words: []string{"installation replaced: running "},
	},
	{
		id: "restart-failed-alive", symptom: plugin.SymptomZombie,
		words: []string{"process will stay alive; fix the issue and restart"},
	},
	{
		id: "token-generated", symptom: plugin.SymptomTokenMissing, words: []string{"auth token was missing"},
		pattern: compile(`\bauth token was missing\b.*\bgenerated a runtime token\b`),
	},
	{
		id: "client-token-mismatch", symptom: plugin.SymptomTokenMismatch, words: []string{"reason=token_mismatch"},
		pattern: compile(`\[ws\] unauthorized\b.*\breason=token_mismatch\b`),
	},
	{
		id: "config-invalid", symptom: plugin.SymptomConfigInvalid,
		words: []string{
			"invalid config", "config invalid", "unrecognized key", "openclaw doctor --fix",
			"fatal configuration error", "startup migration",
		},
		pattern: invalidConfig,
	},
	{
		id: "start-transient", symptom: plugin.SymptomTransient,
		words: []string{
			"websocket closed before handshake", "econnrefused", "gateway process exited before becoming ready",
			"timed out waiting for connect.challenge", "connect handshake timeout", "gateway starting",
			"still occupied after",
		},
		pattern: transient,
	},
}

// invalidConfig: B056, B302; B306 adds quotes and back-ticks after Run.
var invalidConfig = compile(`\binvalid config\b|\bconfig invalid\b|\bunrecognized key\b` +
	"|\\brun(?::\\s*[\"'`]?|\\s+[\"'`])openclaw doctor --fix\\b" +
	`|\bfatal configuration error\b` +
	`|\bstartup migration(?:s)?\b.*\b(?:blocked|failed|did not complete cleanly)\b` +
	`|\bmigration\b.*\bopenclaw doctor --fix\b`)

// transient: B057, B305.
var transient = compile(`WebSocket closed before handshake|ECONNREFUSED|Gateway process exited before becoming ready` +
	`|Timed out waiting for connect\.challenge|Connect handshake timeout|gateway starting|Port \d+ still occupied ` +
	`after \d+ms`)
