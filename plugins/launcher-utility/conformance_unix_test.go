//go:build unix

package launcherutility_test

import (
	"encoding/json"
	"testing"

	launcherutility "github.com/gatehost/gatehost/plugins/launcher-utility"
	"github.com/gatehost/gatehost/shared/conformance"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

func TestLauncherKeepsTheContract(t *testing.T) {
	table, err := json.Marshal(map[string]string{"shim": shimPath})
	if err != nil {
		t.Fatal(err)
	}
	conformance.Launcher(t, func() pluginkit.Plugin { return launcherutility.New().Plugin() },
		conformance.Table(string(table)))
}
