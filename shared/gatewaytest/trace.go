package gatewaytest

import (
	"fmt"
	"time"
)

// traces writes the stages of a start as the gateway does when OPENCLAW_GATEWAY_STARTUP_TRACE is 1: those of the
// command line bare on stderr, the later ones dated on stdout, some of them without a duration
// (stderr/normal-start-with-startup-trace.txt).
type traces struct {
	p           *program
	began, last time.Time
}

func (p *program) tracing() *traces {
	now := time.Now()
	return &traces{p: p, began: now, last: now}
}

// early is a stage of the command line; it took the time since the stage before.
func (t *traces) early(name string) {
	if text, ok := t.stage(name); ok {
		t.p.log(Record{Warn: true, Bare: true, Subsystem: "gateway", Text: text})
	}
}

// late is a stage of the server.
func (t *traces) late(name string) {
	if text, ok := t.stage(name); ok {
		t.p.say("gateway", text+" eventLoopMax=0.0ms")
	}
}

// detail is a trace without a duration.
func (t *traces) detail(text string) {
	if t.wanted() {
		t.p.say("gateway", "startup trace: "+text)
	}
}

func (t *traces) stage(name string) (string, bool) {
	now := time.Now()
	took := now.Sub(t.last)
	t.last = now
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return fmt.Sprintf("startup trace: %s %.1fms total=%.1fms", name, ms(took), ms(now.Sub(t.began))), t.wanted()
}

func (t *traces) wanted() bool {
	return t.p.env["OPENCLAW_GATEWAY_STARTUP_TRACE"] == "1" && !t.p.release.noTraces
}
