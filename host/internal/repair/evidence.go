package repair

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

const (
	maxEvidenceTime     = 60 * time.Second
	defaultEvidenceTime = 30 * time.Second
	maxEvidenceOutput   = 1 << 20 // of each stream
)

// Gatherer gathers evidence about one gateway: the output of its own command, and facts of its own files. It runs only
// the commands that are known to change nothing, and those that a grant of the doctor names.
type Gatherer struct {
	Gateway plugin.GatewayFacts
	Exec    Exec                // nil: no commands
	Redact  func(string) string // hides known secrets in what commands print; nil: none are known
	Report  func(Command)       // is told of each command, also when it is refused; may be nil
	Now     func() time.Time    // nil: time.Now
}

var _ Evidence = Gatherer{}

// Gather answers every request, one after the other.
func (g Gatherer) Gather(ctx context.Context, who Named, wants []doctor.EvidenceRequest) []doctor.Evidence {
	out := make([]doctor.Evidence, 0, len(wants))
	for _, w := range wants {
		e := doctor.Evidence{ID: w.ID}
		var err error
		if len(w.Argv) > 0 {
			err = g.command(ctx, who, w, &e)
		} else {
			err = g.file(w, who.Content, &e)
		}
		if e.Available = err == nil; err != nil {
			e.Problem = g.redact(err.Error())
		}
		out = append(out, e)
	}
	return out
}

func (g Gatherer) redact(s string) string {
	if g.Redact == nil {
		return s
	}
	return g.Redact(s)
}

func (g Gatherer) command(ctx context.Context, who Named, w doctor.EvidenceRequest, e *doctor.Evidence) error {
	r := runner{doctor: who.Name, exec: g.Exec, report: g.Report, now: g.Now}
	if r.now == nil {
		r.now = time.Now
	}
	if err := scopeOf(g.Gateway).evidence(who, w.Argv); err != nil {
		r.refused(KindEvidence, w.Argv, err)
		return err
	}
	if err := Readable(g.Gateway.ConfigPath); err != nil { // the command would wait for it, or read for ever
		r.refused(KindEvidence, w.Argv, err)
		return err
	}
	timeout := w.Timeout
	if timeout <= 0 {
		timeout = defaultEvidenceTime
	}
	timeout = min(timeout, maxEvidenceTime)
	var stdout, stderr text
	got, err := r.run(ctx, Job{Argv: w.Argv, Timeout: timeout, Kind: KindEvidence}, func(l plugin.Line) {
		if l.Stream == plugin.Stderr {
			stderr.add(l.Text)
		} else {
			stdout.add(l.Text)
		}
	})
	e.Stdout, e.Stderr = g.redact(stdout.b.String()), g.redact(stderr.b.String())
	switch {
	case err != nil:
		return err
	case got.TimedOut:
		return fault.New(fault.DeadlineExceeded, fmt.Sprintf("the command did not end within %v", timeout))
	case got.Denied != "": // a validator would call a configuration broken that it could not read
		e.Stdout, e.Stderr = "", ""
		return fault.New(fault.PermissionDenied,
			"the sandbox denied the command something, so its answer is not used: "+bounded(got.Denied, 500))
	}
	e.Exit = &got.Exit
	return nil
}

// text joins lines, bounded.
type text struct{ b strings.Builder }

func (t *text) add(line string) {
	if t.b.Len()+len(line) < maxEvidenceOutput {
		_, _ = t.b.WriteString(line + "\n")
	}
}

func (g Gatherer) file(w doctor.EvidenceRequest, content bool, e *doctor.Evidence) error {
	path, err := scopeOf(g.Gateway).path(w.File)
	if err != nil {
		return err
	}
	snap, err := read(path)
	if err != nil {
		return err
	}
	e.Exists, e.Size, e.SHA256 = snap.exists, uint64(len(snap.data)), snap.sum()
	if content && len(snap.data) <= maxContent {
		e.Content = snap.data
	}
	return nil
}
