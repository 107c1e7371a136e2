package plugin

import (
	"fmt"
	"time"
)

// Stream is one of a process's two outputs.
type Stream int

// The outputs.
const (
	Stdout Stream = iota + 1
	Stderr
)

// String is "stdout" or "stderr".
func (s Stream) String() string {
	switch s {
	case Stdout:
		return "stdout"
	case Stderr:
		return "stderr"
	default:
		return "unknown"
	}
}

// Line is one line of output.
type Line struct {
	// Cursor is the position just after the line: strictly increasing within a launch, and where reading continues.
	Cursor    uint64
	Time      time.Time
	Stream    Stream
	Text      string // valid UTF-8, without the end of line
	Truncated bool   // longer than 64 KiB; the rest was dropped
	Partial   bool   // the process ended without ending the line
}

// Exit is how a process ended.
type Exit struct {
	Code    int
	Signal  string // "SIGKILL"; "" when it exited
	At      time.Time
	Durable bool // known to be on disk
	Known   bool // false: it is gone, and how it ended was not seen
	Core    bool // the kernel wrote a core file
}

// String says it for people: "exit code 78", "killed by SIGKILL", "ended unseen".
func (e Exit) String() string {
	switch {
	case !e.Known:
		return "ended unseen"
	case e.Signal != "":
		return "killed by " + e.Signal
	default:
		return fmt.Sprintf("exit code %d", e.Code)
	}
}

// EnvVar is one variable of an environment; a Secret value must appear nowhere.
type EnvVar struct {
	Name   string
	Value  string
	Secret bool
}

// ProcessSpec is what to run. The environment is complete.
type ProcessSpec struct {
	Argv []string
	Env  []EnvVar
	Cwd  string
	User string
}

// Symptom is what a line of output shows, as far as the host's policy may act on it: a closed list.
type Symptom int

// The symptoms; the proto file says where each comes from.
const (
	NoSymptom Symptom = iota
	SymptomConfigInvalid
	SymptomRuntimeFatal
	SymptomMigrationLocked
	SymptomPortConflict
	SymptomStateLocked
	SymptomTransient
	SymptomChannelsSuppressed
	SymptomZombie
	SymptomConfigMissing
	SymptomTokenMissing
	SymptomTokenMismatch
	SymptomInstallReplaced
)

// String is the word used in JSON output and logs.
func (s Symptom) String() string {
	names := [...]string{
		"none", "config-invalid", "runtime-fatal", "migration-locked", "port-conflict", "state-locked", "transient",
		"channels-suppressed", "zombie", "config-missing", "token-missing", "token-mismatch",
		"install-replaced",
	}
	if s < 0 || int(s) >= len(names) {
		return "unknown"
	}
	return names[s]
}
