// Package pluginkit is what a plugin's main calls. A useful doctor is one file:
//
//	func main() {
//		pluginkit.Serve(pluginkit.Plugin{Name: "my-doctor", Version: "0.1.0", Doctor: myDoctor{}})
//	}
//
// Serve speaks hashicorp/go-plugin with the host, so authors need to know nothing of gRPC. It turns panics of an
// implementation into errors, cancels every call when the host goes away, and then ends the process within two seconds.
// Logs go through Logger to the host, with their levels; what is printed to stdout is lost.
package pluginkit
