//go:build real

package e2e_test

import (
	"testing"

	"github.com/gatehost/gatehost/internal/testreal"
)

func openclaw(t *testing.T) gateway {
	t.Helper()
	command, path := testreal.OpenClaw(t)
	return gateway{command: command, path: path[0], release: testreal.Release(t)}
}

func TestWholeStoryOnOpenClaw(t *testing.T) { theWholeStory(t, openclaw(t)) }

func TestNewHostAdoptsOpenClaw(t *testing.T) { aNewHostAdopts(t, openclaw(t)) }

func TestDoctorRunsKnownCommandsOfOpenClawOnly(t *testing.T) {
	aDoctorRunsKnownCommandsOnly(t, openclaw(t))
}

func TestOpenClawRunsAgainFromAnyBreakage(t *testing.T) { itRunsAgainFromAnyBreakage(t, openclaw(t)) }
func TestTelemetryOfOpenClaw(t *testing.T)              { theTelemetry(t, openclaw(t), 50) }
func TestConfigurationOfOpenClawIsEdited(t *testing.T)  { aConfigurationIsEdited(t, openclaw(t)) }
