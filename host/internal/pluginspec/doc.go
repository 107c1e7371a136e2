// Package pluginspec turns the configuration of a plugin into the specification that pluginhost starts: its table, the
// kinds as which gateways use it, and its sandbox. It decides; it starts nothing, and it must not import a package that
// does so for a gateway.
package pluginspec
