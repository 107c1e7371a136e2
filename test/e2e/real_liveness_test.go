//go:build real

package e2e_test

import "testing"

func TestFrozenProcessOfOpenClawIsReplaced(t *testing.T) { aFrozenProcessIsReplaced(t, openclaw(t)) }

func TestBusyProcessOfOpenClawIsSpared(t *testing.T) { aBusyProcessIsSpared(t, openclaw(t)) }

func TestDeadLinkToOpenClawIsReplaced(t *testing.T) { aDeadLinkIsReplaced(t, openclaw(t)) }

func TestReleaseIsHandledOnOpenClaw(t *testing.T) { aReleaseIsHandled(t, openclaw(t)) }

func TestReloadKeepsTheProcessOfOpenClaw(t *testing.T) { aReloadKeepsTheProcess(t, openclaw(t)) }

func TestReloadOntoABrokenConfigurationOfOpenClawIsHealed(t *testing.T) {
	aReloadOntoABrokenConfigurationIsHealed(t, openclaw(t))
}
