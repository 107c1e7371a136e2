package launcherlaunchd_test

import (
	"testing"

	launcherlaunchd "github.com/gatehost/gatehost/plugins/launcher-launchd"
	"github.com/gatehost/gatehost/shared/conformance"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

func TestUnloaderKeepsTheContract(t *testing.T) {
	conformance.Unloader(t, func() pluginkit.Plugin { return launcherlaunchd.New().Plugin() })
}
