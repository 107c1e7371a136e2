package doctors

import (
	"context"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/plugin"
)

// failed is a target whose gateway is in a state; nothing else of it is used.
type failed struct {
	Target

	state lifecycle.State
}

func (t failed) State() lifecycle.State { return t.state }

func (t failed) Facts() plugin.GatewayFacts { return plugin.GatewayFacts{} }

func (t failed) PortOwner(context.Context) string { return "" }

// A finding takes the place of the failure in the state. Who asks the doctors again must give them the failure, or a
// doctor that looks at the end of the process finds nothing the second time.
func TestRequestAsksAboutTheFailureAndNotAboutItsFinding(t *testing.T) {
	at := time.Now()
	d := New(Options{Target: failed{state: lifecycle.State{
		Err:      &lifecycle.Problem{Code: "ended-before-listening", Message: "the finding"},
		LastExit: &lifecycle.Exit{Known: true, At: at},
	}}})
	d.incident = &doctor.Incident{
		Exit: &plugin.Exit{Known: true, At: at}, ErrorCode: "exited_before_ready", ErrorMessage: "the failure",
	}
	d.tell("ended-before-listening")
	if in := d.lastIncident(); in == nil || in.ErrorCode != "exited_before_ready" || in.ErrorMessage != "the failure" {
		t.Errorf("incident = %+v, want that of the failure", in)
	}
	d.tell("another") // the state has another error since
	if in := d.lastIncident(); in == nil || in.ErrorCode != "ended-before-listening" {
		t.Errorf("incident = %+v, want that of the state", in)
	}
}
