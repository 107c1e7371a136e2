package pluginhost

import (
	"path"
	"strings"
	"time"

	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

// method is one row of the contract's table (base.proto): its deadline and whether it may be asked again after the
// plugin died.
type method struct {
	name       string // as in that table: Launcher.Launch
	kind       plugin.Kind
	deadline   time.Duration // 0: the caller's own
	idempotent bool
	capability string // that a plugin must announce; "": the method is part of its kind
	onReplace  onReplace
	// extra is what a request adds to the deadline; nil: nothing.
	extra func(req any) time.Duration
	// resume has the request of a stream ask for what comes after an answer, so that the next process can go on with the
	// stream; nil: it cannot.
	resume func(req, answer any)
}

// onReplace is what happens to a call on a process that is being replaced.
type onReplace int

const (
	retry  onReplace = iota // it has Timing.Drain to end, then the next process is asked
	finish                  // it changes something: it may end where it began, within its own deadline
	reopen                  // a stream that is broken off and opened again in the next process
)

// methods are the rows by their names.
var methods = table(
	method{name: "Launcher.Launch", deadline: 60 * time.Second, onReplace: finish}, // the engine asks Recover first
	method{name: "Launcher.List", deadline: 10 * time.Second, idempotent: true},
	method{name: "Launcher.Recover", deadline: 10 * time.Second, idempotent: true},
	method{name: "Launcher.Inspect", deadline: 10 * time.Second, idempotent: true},
	method{name: "Launcher.Output", onReplace: reopen, resume: resumeOutput},
	method{name: "Launcher.Signal", deadline: 10 * time.Second, onReplace: finish},
	method{name: "Launcher.Stop", deadline: 30 * time.Second, idempotent: true, onReplace: finish, extra: graceOf},
	method{name: "Launcher.Release", deadline: 10 * time.Second, idempotent: true, onReplace: finish},
	method{name: "Launcher.Exec", deadline: 15 * time.Second, onReplace: finish, extra: timeoutOf},
	method{name: "Unloader.Inspect", deadline: 15 * time.Second, idempotent: true},
	method{name: "Unloader.Unload", deadline: 30 * time.Second, idempotent: true, onReplace: finish},
	method{name: "Unloader.Restore", deadline: 30 * time.Second, idempotent: true, onReplace: finish},
	method{name: "Doctor.Diagnose", deadline: 30 * time.Second, idempotent: true},
	method{name: "Doctor.Plan", deadline: 30 * time.Second, idempotent: true},
	method{name: "Doctor.Repair", onReplace: finish},
	method{name: "Doctor.Verify", deadline: 30 * time.Second, idempotent: true, capability: plugin.CapabilityVerify},
	method{name: "Classifier.Classify", deadline: 2 * time.Second, onReplace: reopen}, // of one batch
)

func table(rows ...method) map[string]method {
	out := map[string]method{}
	for _, m := range rows {
		service, _, _ := strings.Cut(m.name, ".")
		m.kind = plugin.Kind(strings.ToLower(service))
		out[m.name] = m
	}
	return out
}

// nameOf is the name of a method in the contract's table, by its path in gRPC.
func nameOf(fullMethod string) string {
	service := path.Base(path.Dir(fullMethod))
	service = strings.TrimSuffix(service[strings.LastIndex(service, ".")+1:], "Service")
	return service + "." + path.Base(fullMethod)
}

func graceOf(req any) time.Duration {
	r, _ := req.(*pb.StopRequest)
	return r.GetGrace().AsDuration()
}

func timeoutOf(req any) time.Duration {
	r, _ := req.(*pb.ExecRequest)
	return r.GetTimeout().AsDuration()
}

func resumeOutput(req, answer any) {
	q, asked := req.(*pb.OutputRequest)
	a, answered := answer.(*pb.OutputResponse)
	if !asked || !answered {
		return
	}
	switch item := a.GetItem().(type) {
	case *pb.OutputResponse_Batch:
		if n := len(item.Batch.GetLines()); n > 0 {
			q.Cursor = item.Batch.GetLines()[n-1].GetCursor()
		}
	case *pb.OutputResponse_Gap:
		q.Cursor = item.Gap.GetTo()
	}
}
