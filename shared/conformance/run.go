package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehost/gatehost/shared/plugin"
)

// Options say how a plugin is tried. The zero value tries everything.
type Options struct {
	// Dir is a scratch directory for gateways that do not exist; the caller removes it. Required.
	Dir string
	// Kinds are those whose checks are tried; empty: all that the plugin serves. Base's are tried in any case.
	Kinds []plugin.Kind
	// Only are the ids of the checks to try, or beginnings of them ("doctor/"); empty: all.
	Only []string
	// Incidents are tried besides the built-in ones.
	Incidents []Incident
	// Deadline is stricter than the contract's deadline of a call; 0: the contract's own. It does not shorten a batch
	// of lines.
	Deadline time.Duration
	// Child is the command line of the program that a launcher is to launch, which calls ChildMain, or RunChild with
	// what follows it.
	Child []string
	// OnResult is called for each check when it is done; nil: not called.
	OnResult func(Result)
}

// Result is how one check went. Its JSON is stable.
type Result struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	Title  string `json:"title"`
	Row    string `json:"row"`            // of the contract
	Result string `json:"result"`         // Holds, Fails, NotApplicable
	TookMs int64  `json:"tookMs"`         //
	Why    string `json:"why,omitempty"`  // what was seen; of a check that holds a figure, if there is one
	Hint   string `json:"hint,omitempty"` // what its author can do
}

// Report is how all of them went. Its JSON is stable.
type Report struct {
	Plugin   string   `json:"plugin"` // as it calls itself; "" when it did not start
	Version  string   `json:"version"`
	Services []string `json:"services"` // kinds
	OK       bool     `json:"ok"`       // all were tried, and none fails
	TookMs   int64    `json:"tookMs"`
	Checks   []Result `json:"checks"`
}

// Failed are the ids of the checks that fail.
func (r Report) Failed() []string {
	var out []string
	for _, c := range r.Checks {
		if c.Result == Fails {
			out = append(out, c.ID)
		}
	}
	return out
}

// Unknown are the words of only by which no check is known.
func Unknown(only []string) []string {
	var out []string
	for _, word := range only {
		if !slices.ContainsFunc(Checks(), func(c Check) bool { return c.named(word) }) {
			out = append(out, word)
		}
	}
	return out
}

// named reports whether a word of Options.Only means the check: its id, or a kind with its stroke.
func (c Check) named(word string) bool {
	return c.ID == word || strings.HasSuffix(word, "/") && strings.HasPrefix(c.ID, word)
}

// Run tries a plugin. It ends early, with what was seen by then, when ctx does. Errors: the plugin did not even start,
// and the Report says so as well: its check base/start fails.
func Run(ctx context.Context, opener Opener, o Options) (Report, error) {
	began := time.Now()
	rn := &runner{opener: opener, opts: o}
	defer rn.close()
	report := Report{Services: []string{}, Checks: []Result{}}
	startErr := rn.begin(ctx)
	if startErr == nil {
		report.Plugin, report.Version = rn.info.Name, rn.info.Version
		for _, s := range rn.info.Services {
			report.Services = append(report.Services, string(s.Kind))
		}
	}
	for _, c := range Checks() {
		if ctx.Err() != nil || !rn.wanted(c) {
			continue
		}
		at := time.Now()
		var err error
		if startErr == nil || c.ID == idStart {
			err = rn.attempt(ctx, c, startErr)
		} else {
			err = skip("it does not start, see %s", idStart)
		}
		if ctx.Err() != nil {
			break // of which the check speaks
		}
		r := c.judge(err)
		r.TookMs = time.Since(at).Milliseconds()
		if r.Result == Holds {
			r.Why = rn.note
		}
		report.Checks = append(report.Checks, r)
		if o.OnResult != nil {
			o.OnResult(r)
		}
	}
	err := cmp.Or(startErr, context.Cause(ctx))
	report.OK, report.TookMs = err == nil && len(report.Failed()) == 0, time.Since(began).Milliseconds()
	return report, err
}

// wanted reports whether a check is among those that were asked for.
func (rn *runner) wanted(c Check) bool {
	o := rn.opts
	if len(o.Only) > 0 && !slices.ContainsFunc(o.Only, c.named) {
		return false
	}
	if c.Kind == Base {
		return true
	}
	if len(o.Kinds) > 0 {
		return slices.Contains(o.Kinds, c.Kind)
	}
	return rn.info.Serves(c.Kind)
}

// attempt tries one check. After one that fails the next finds a process that has nothing to do with it.
func (rn *runner) attempt(ctx context.Context, c Check, startErr error) (err error) {
	rn.note = ""
	if c.ID == idStart {
		return startErr
	}
	if c.Kind != Base && !rn.served(ctx, c.Kind) {
		return skip("the plugin does not serve as %s", c.Kind)
	}
	if c.process && rn.inProcess {
		return skip("it needs a process of the plugin's own: run `gatehost plugin verify`")
	}
	if c.Kind == plugin.KindLauncher && slices.ContainsFunc(Checks(), func(c Check) bool {
		return c.ID == idHeartbeat &&
			rn.wanted(c)
	}) {
		rn.listen(ctx)
	}
	defer func() {
		if _, nothing := errors.AsType[*inapplicable](err); err != nil && !nothing {
			rn.renew()
		}
	}()
	return c.try(ctx, rn)
}

// Text is the report as a table for people.
func (r Report) Text() string {
	var out strings.Builder
	width := len("CHECK")
	for _, c := range r.Checks {
		width = max(width, len(c.ID))
	}
	fmt.Fprintf(&out, "%-*s  %-6s  %7s  %s\n", width, "CHECK", "RESULT", "TIME", "WHAT HOLDS, OR WHY NOT")
	held := 0
	for _, c := range r.Checks {
		word, text := "n/a", c.Title+": "+c.Why
		switch c.Result {
		case Holds:
			held++
			word, text = "holds", c.Title
			if c.Why != "" {
				text += " (" + c.Why + ")"
			}
		case Fails:
			word, text = "FAILS", c.Why
		}
		fmt.Fprintf(&out, "%-*s  %-6s  %6.1fs  %s\n", width, c.ID, word, float64(c.TookMs)/1000, oneLine(text))
		if c.Result == Fails {
			fmt.Fprintf(&out, "%*s  contract: %s\n", width+17, "", oneLine(c.Title+" ("+c.Row+")"))
			if c.Hint != "" {
				fmt.Fprintf(&out, "%*s  hint: %s\n", width+17, "", oneLine(c.Hint))
			}
		}
	}
	failed := len(r.Failed())
	fmt.Fprintf(&out, "%s %s: %d hold, %d fail, %d not applicable, in %.1fs\n", cmp.Or(r.Plugin, "the plugin"),
		r.Version, held, failed,
		len(r.Checks)-held-failed, float64(r.TookMs)/1000)
	return out.String()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
