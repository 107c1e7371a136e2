// Command launcher-launchd knows macOS's service manager for gatehost; the host starts it.
package main

import (
	launcherlaunchd "github.com/gatehost/gatehost/plugins/launcher-launchd"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

func main() {
	pluginkit.Serve(launcherlaunchd.New().Plugin())
}
