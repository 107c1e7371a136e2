// Command launcher-utility is gatehost's launcher that works anywhere; the host starts it.
package main

import (
	launcherutility "github.com/gatehost/gatehost/plugins/launcher-utility"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

func main() {
	pluginkit.Serve(launcherutility.New().Plugin())
}
