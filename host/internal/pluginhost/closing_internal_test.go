package pluginhost

import (
	"context"
	"errors"
	"testing"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// A call may find its generation just before that is closed. gRPC then says "cancelled" at once, often before the call's own
// watcher has said why; whoever called must hear that the plugin went, or would neither ask again nor find out what happened.
func TestCallOnAConnectionThatIsBeingClosedIsPluginGone(t *testing.T) {
	conn, err := grpc.NewClient("passthrough:nowhere", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	g := &generation{proc: &process{done: make(chan struct{})}, gone: make(chan struct{}), conn: conn}
	close(g.gone)
	p := proxy{name: "p", kind: plugin.KindDoctor, s: newSupervisor(Options{Log: hclog.NewNullLogger()}, Spec{Name: "p"}, "")}
	for range 200 {
		_, err := once(t.Context(), p, g, diagnose, 0, func(ctx context.Context, cc link) (doctor.Diagnosis, error) {
			return doctor.NewClient(cc).Diagnose(ctx, doctor.DiagnoseRequest{})
		})
		if !errors.Is(err, fault.ErrPluginGone) {
			t.Fatalf("error = %v, want plugin_gone", err)
		}
	}
}
