// Command doctor is the shipped doctor and classifier for OpenClaw, as a plugin of gatehost.
package main

import (
	openclawdoctor "github.com/gatehost/gatehost/plugins/doctor"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

func main() {
	pluginkit.Serve(pluginkit.Plugin{
		Name: "openclaw-doctor", Version: "0.1.0",
		Doctor: openclawdoctor.Doctor{}, Classifier: openclawdoctor.NewClassifier(),
	})
}
