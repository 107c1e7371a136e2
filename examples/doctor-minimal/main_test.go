package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
	"github.com/gatehost/gatehost/shared/pluginkit/plugintest"
)

func open(t *testing.T) *plugintest.Conn {
	t.Helper()
	conn, err := plugintest.Dial(minimal())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func TestFullDiskIsFoundInTheLastLines(t *testing.T) {
	d, err := doctor.NewClient(open(t)).Diagnose(t.Context(), doctor.DiagnoseRequest{
		Gateway: plugin.GatewayFacts{Name: "main", StateDir: "/srv/openclaw"},
		Incident: &doctor.Incident{Lines: []plugin.Line{
			{Cursor: 1, Stream: plugin.Stderr, Text: "gateway starting"},
			{Cursor: 2, Stream: plugin.Stderr, Text: "Error: ENOSPC: no space left on device, write"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Findings) != 1 || d.Findings[0].Code != "disk-full" ||
		!strings.Contains(d.Findings[0].Hint, "/srv/openclaw") {
		t.Errorf("diagnosis = %+v", d)
	}
}

func TestOtherTroubleIsLeftToOtherDoctors(t *testing.T) {
	c := doctor.NewClient(open(t))
	for _, req := range []doctor.DiagnoseRequest{
		{},
		{Incident: &doctor.Incident{Lines: []plugin.Line{{Cursor: 1, Text: "fine"}}}},
	} {
		if d, err := c.Diagnose(t.Context(), req); err != nil || len(d.Findings) != 0 || len(d.Wants) != 0 {
			t.Errorf("diagnosis = %+v, %v", d, err)
		}
	}
	if p, err := c.Plan(t.Context(), plugin.GatewayFacts{}, doctor.Finding{Code: "disk-full"}); err != nil || p != nil {
		t.Errorf("plan = %+v, %v", p, err)
	}
	if _, err := c.Repair(t.Context(), doctor.RepairRequest{Finding: doctor.Finding{Code: "disk-full"}},
		nil); !errors.Is(err, fault.ErrUnsupported) {
		t.Errorf("repair = %v", err)
	}
}

func TestItSaysWhoItIs(t *testing.T) {
	info, err := pluginkit.NewClient(open(t)).Describe(t.Context(), plugin.HostInfo{Version: "devel"})
	if err != nil || info.Name != "doctor-minimal" || !info.Serves(plugin.KindDoctor) ||
		info.Serves(plugin.KindLauncher) {
		t.Errorf("info = %+v, %v", info, err)
	}
}
