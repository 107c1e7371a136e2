package pluginhost

import (
	"errors"
	"testing"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gatehost/gatehost/shared/fault"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
)

// A call may find its generation just before that is closed. gRPC then says "cancelled" at once, often before the call's own
// watcher has said why; whoever called must hear that the plugin went, or would neither ask again nor find out what happened.
func TestCallOnAConnectionThatIsBeingClosedIsPluginGone(t *testing.T) {
	closed, err := grpc.NewClient("passthrough:nowhere", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	g := &generation{proc: &process{done: make(chan struct{})}, gone: make(chan struct{}), conn: closed}
	close(g.gone)
	k := &call{
		conn: conn{name: "p"}, method: methods["Doctor.Diagnose"],
		s: newSupervisor(Options{Log: hclog.NewNullLogger()}, Spec{Name: "p"}, ""),
	}
	for range 200 {
		a := k.begin(t.Context(), g, nil)
		err := a.explain(closed.Invoke(a.ctx, pb.DoctorService_Diagnose_FullMethodName, &pb.DiagnoseRequest{}, &pb.DiagnoseResponse{}))
		a.release()
		if !errors.Is(err, fault.ErrPluginGone) {
			t.Fatalf("error = %v, want plugin_gone", err)
		}
	}
}
