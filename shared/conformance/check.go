package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Base is the kind of the checks that every plugin has to pass, whatever it serves.
const Base plugin.Kind = "base"

// Check is one promise of the contract. Its id never changes its meaning.
type Check struct {
	ID    string // "doctor/plan-scope": the kind, then words
	Kind  plugin.Kind
	Title string // what holds, one sentence without a full stop
	Row   string // of base.proto's table, or the message whose comment says it
	// process says that it needs a process of the plugin's own: it is not applicable inside a test binary.
	process bool
	try     func(ctx context.Context, rn *runner) error
}

// Checks is the table, in the order in which it is tried.
func Checks() []Check {
	return slices.Concat(baseChecks(), doctorChecks(), classifierChecks(), launcherChecks(), unloaderChecks(),
		lifeChecks())
}

// The results of a check. They are part of the JSON that `gatehost plugin verify --json` prints.
const (
	Holds         = "holds"
	Fails         = "fails"
	NotApplicable = "not-applicable" // there was nothing to try it on; Why says what was missing
)

// violation is something that a plugin does against the contract.
type violation struct{ why, hint string }

func (v *violation) Error() string { return v.why }

// breach makes a violation. hint tells the author what to do.
func breach(hint, format string, args ...any) error {
	return &violation{why: fmt.Sprintf(format, args...), hint: hint}
}

// inapplicable says why there was nothing to try a check on.
type inapplicable struct{ why string }

func (i *inapplicable) Error() string { return i.why }

func skip(format string, args ...any) error { return &inapplicable{why: fmt.Sprintf(format, args...)} }

// judge turns what a check returned into its result.
func (c Check) judge(err error) Result {
	r := Result{ID: c.ID, Kind: string(c.Kind), Title: c.Title, Row: c.Row, Result: Holds}
	if i, ok := errors.AsType[*inapplicable](err); ok {
		r.Result, r.Why = NotApplicable, i.why
		return r
	}
	if err != nil {
		r.Result, r.Why = Fails, err.Error()
		r.Hint = cmp.Or(fault.HintOf(err), "look it up in the contract, docs/plugin-reference.md")
		if v, ok := errors.AsType[*violation](err); ok {
			r.Hint = v.hint
		}
	}
	return r
}
