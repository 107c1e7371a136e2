package openclawdoctor_test

import (
	"testing"

	openclawdoctor "github.com/gatehost/gatehost/plugins/doctor"
	"github.com/gatehost/gatehost/shared/conformance"
)

func TestDoctorKeepsTheContract(t *testing.T) { conformance.Doctor(t, openclawdoctor.Plugin) }
