//go:build real

package e2e_test

import (
	"os"
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

func TestOwnFileOfOpenClawIsFound(t *testing.T) { itsOwnFileIsFound(t, openclaw(t)) }
func TestOpenClawAuthenticatesAsItsFileSays(t *testing.T) {
	itAuthenticatesAsItsFileSays(t, openclaw(t))
}

func TestOpenClawServesTLS(t *testing.T) { itServesTLS(t, openclaw(t)) }

func TestStrangerThatWasThereFirstGetsNoSecretOfOpenClaw(t *testing.T) {
	aStrangerWasThereFirst(t, openclaw(t))
}

func TestStrangerThatTakesThePortDuringAStartOfOpenClawGetsNoSecret(t *testing.T) {
	needRoot(t)
	aStrangerTakesThePort(t, openclaw(t), strangersUID)
}

func TestStrangerOfOurOwnUserDuringAStartOfOpenClawGetsNoSecret(t *testing.T) {
	aStrangerTakesThePort(t, openclaw(t), os.Geteuid())
}
