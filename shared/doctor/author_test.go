package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// readOnly is all that an author has to write.
type readOnly struct{ doctor.ReadOnly }

func (readOnly) Diagnose(context.Context, doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	return doctor.Found(doctor.Finding{Code: "a"}, doctor.Finding{Code: "b"}), nil
}

var _ doctor.Doctor = readOnly{}

func TestReadOnlyDoctorHasNoPlanAndNoStepsOfItsOwn(t *testing.T) {
	d := readOnly{}
	if got, err := d.Diagnose(t.Context(), doctor.DiagnoseRequest{}); err != nil || len(got.Findings) != 2 ||
		len(got.Wants) != 0 {
		t.Errorf("diagnosis = %+v, %v", got, err)
	}
	if p, err := d.Plan(t.Context(), plugin.GatewayFacts{}, doctor.Finding{}); p != nil || err != nil {
		t.Errorf("plan = %+v, %v", p, err)
	}
	if _, err := d.Repair(t.Context(), doctor.RepairRequest{}, nil); !errors.Is(err, fault.ErrUnsupported) {
		t.Errorf("repair = %v, want unsupported", err)
	}
}

func TestIncidentIsSearchedAndNoneHasNothing(t *testing.T) {
	i := &doctor.Incident{
		Lines:    []plugin.Line{{Text: "starting"}, {Text: "Error: EACCES: x"}, {Text: "Error: ENOSPC: y"}},
		Symptoms: []plugin.Symptom{plugin.SymptomPortConflict},
	}
	if line, ok := i.Find("ENOSPC", "EACCES"); !ok || line.Text != "Error: EACCES: x" {
		t.Errorf("found %+v, %v; want the first line that has one of them", line, ok)
	}
	if line, ok := i.Find("EMFILE"); ok {
		t.Errorf("found %+v", line)
	}
	if !i.Shows(plugin.SymptomPortConflict) || i.Shows(plugin.SymptomConfigInvalid) {
		t.Error("its symptoms are others")
	}
	var none *doctor.Incident
	if _, ok := none.Find(""); ok || none.Shows(plugin.SymptomPortConflict) {
		t.Error("no incident shows something")
	}
}

func TestEvidenceIsFoundByItsID(t *testing.T) {
	evidence := []doctor.Evidence{{ID: "a"}, {ID: "b", Stdout: "x"}}
	for name, asked := range map[string]func(string) (doctor.Evidence, bool){
		"diagnose": doctor.DiagnoseRequest{Evidence: evidence}.Asked,
		"verify":   doctor.VerifyRequest{Evidence: evidence}.Asked,
	} {
		if e, ok := asked("b"); !ok || e.Stdout != "x" {
			t.Errorf("%s: evidence = %+v, %v", name, e, ok)
		}
		if _, ok := asked("c"); ok {
			t.Errorf("%s: evidence that was not given", name)
		}
	}
}

func TestCommandsDoNotShareTheGatewaysCommand(t *testing.T) {
	gw := plugin.GatewayFacts{Command: append(make([]string, 0, 8), "openclaw")} // room that append would write to
	one, two := doctor.Command(gw, "a", time.Second, "one"), doctor.Command(gw, "b", time.Second, "two")
	if got := fmt.Sprint(one.Exec.Argv, two.Exec.Argv); got != "[openclaw one] [openclaw two]" {
		t.Errorf("commands = %s", got)
	}
}

func ExampleReadOnly() {
	diagnosis, _ := diskDoctor{}.Diagnose(context.Background(), doctor.DiagnoseRequest{
		Incident: &doctor.Incident{Lines: []plugin.Line{{Text: "Error: ENOSPC: no space left on device, write"}}},
	})
	fmt.Println(diagnosis.Findings[0].Code)
	// Output: disk-full
}

type diskDoctor struct{ doctor.ReadOnly }

func (diskDoctor) Diagnose(_ context.Context, req doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	line, found := req.Incident.Find("ENOSPC")
	if !found {
		return doctor.Diagnosis{}, nil
	}
	return doctor.Found(doctor.Finding{
		Code: "disk-full", Severity: plugin.SeverityError, Fatal: true,
		Text: "the disk is full", Evidence: []string{line.Text},
	}), nil
}
