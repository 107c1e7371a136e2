// Package pluginspec turns the configuration of a plugin into what pluginhost starts: its table, what gateways use it as, and its sandbox. It
// decides and starts nothing.
package pluginspec
