package repair

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Kind says what a command is run for.
type Kind string

// The kinds of commands.
const (
	KindEvidence Kind = "evidence" // a doctor wants to know something; the command changes nothing
	KindStep     Kind = "step"     // of a plan
)

// Job is a command to run in the gateway's context. Its words were checked.
type Job struct {
	Argv    []string
	Timeout time.Duration
	Kind    Kind
	// Secrets: the command gets the gateway's whole environment. Without it the values of secrets are hidden.
	Secrets bool
}

// Ran is how a job ended.
type Ran struct {
	launcher.ExecResult

	Sandboxed   bool
	Unsandboxed string // why evidence was not sandboxed; "" otherwise
	// Denied is a line by which the command says that its sandbox denied it something. Its answer may be about the sandbox
	// and not about the gateway.
	Denied string
}

// Exec runs a job in the gateway's context. onLine is called by one goroutine. Cancelling ctx ends the command's whole
// process tree before Exec returns.
type Exec func(ctx context.Context, job Job, onLine func(plugin.Line)) (Ran, error)

// Command is a command that was run for a doctor, or that was refused.
type Command struct {
	Doctor string
	Kind   Kind
	Argv   []string // as the doctor named it: not redacted
	// Refused: nothing was run, and Err says why.
	Refused     bool
	Exit        *plugin.Exit // nil: it was not run, or how it ended is not known
	TimedOut    bool
	Took        time.Duration
	Sandboxed   bool
	Unsandboxed string
	Err         error // it could not be run, or was refused
}

// runner runs the commands of one doctor and reports each of them.
type runner struct {
	doctor string
	exec   Exec          // nil: there is no launcher
	report func(Command) // nil: no reader
	now    func() time.Time
}

func (r runner) tell(c Command) {
	c.Doctor = r.doctor
	if r.report != nil {
		r.report(c)
	}
}

func (r runner) refused(kind Kind, argv []string, err error) {
	r.tell(Command{Kind: kind, Argv: argv, Refused: true, Err: err})
}

func (r runner) run(ctx context.Context, job Job, onLine func(plugin.Line)) (Ran, error) {
	c := Command{Kind: job.Kind, Argv: job.Argv}
	if r.exec == nil {
		c.Err = fault.New(fault.Unsupported, "cannot run a command: there is no launcher")
		r.tell(c)
		return Ran{}, c.Err
	}
	began := r.now()
	ran, err := r.exec(ctx, job, onLine)
	c.Took, c.Err, c.TimedOut, c.Sandboxed, c.Unsandboxed = r.now().Sub(began), err, ran.TimedOut, ran.Sandboxed,
		ran.Unsandboxed
	if err == nil {
		c.Exit = &ran.Exit
	}
	r.tell(c)
	return ran, err
}

// evidence accepts argv that a doctor may ask for as evidence.
func (s scope) evidence(who Named, argv []string) error {
	return s.argv(who, argv, append(doctor.EvidenceCommands(s.profile), who.Commands...))
}

// step accepts argv that the plan of a doctor may run. secrets reports whether the command gets the gateway's whole
// environment: the known ones do, because the gateway's own doctor needs what the gateway needs.
func (s scope) step(who Named, argv []string) (secrets bool, err error) {
	known := doctor.StepCommands(s.profile)
	return s.argv(who, argv, known) == nil, s.argv(who, argv, append(known, who.Commands...))
}

// argv accepts the gateway's command with the words of one of some lists behind it, exactly. Nothing else is ever run
// for a doctor.
func (s scope) argv(who Named, argv []string, allowed [][]string) error {
	n := len(s.command)
	switch {
	case n == 0:
		return refuse("the gateway has no launch command")
	case len(argv) <= n || !slices.Equal(argv[:n], s.command):
		return refuse("the command %s does not begin with the gateway's own %s", shown(argv), shown(s.command))
	}
	words := argv[n:]
	if slices.ContainsFunc(allowed, func(one []string) bool { return slices.Equal(one, words) }) {
		return nil
	}
	err := refuse("no doctor may run the gateway's command with the words %s", shown(words))
	grant := plugin.GrantCommand + strings.Join(words, " ")
	if plugin.CheckGrant(grant) != nil { // no grant could name these words
		return err
	}
	return err.WithHint(fmt.Sprintf(
		"nothing was run; when you trust the doctor with this command, add %q to plugins.%s.grant", grant, who.Name,
	))
}

// shown is argv in a message: each word quoted, bounded.
func shown(argv []string) string { return bounded(fmt.Sprintf("%+q", argv), 300) }

// commandRefused is a step whose command is not allowed.
type commandRefused struct {
	argv []string
	err  *fault.Error
}

func (c commandRefused) Error() string { return c.err.Error() }

func (c commandRefused) Unwrap() error { return c.err }
