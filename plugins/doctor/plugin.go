package openclawdoctor

import "github.com/gatehost/gatehost/shared/pluginkit"

// Plugin is what main serves.
func Plugin() pluginkit.Plugin {
	return pluginkit.Plugin{Name: "openclaw-doctor", Version: "0.1.0", Doctor: Doctor{}, Classifier: NewClassifier()}
}
