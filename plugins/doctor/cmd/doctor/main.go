// Command doctor is the shipped doctor and classifier for OpenClaw, as a plugin of gatehost.
package main

import (
	openclawdoctor "github.com/gatehost/gatehost/plugins/doctor"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

func main() {
	pluginkit.Serve(openclawdoctor.Plugin())
}
