// Package pluginhost finds, starts, checks, restarts and closes plugin processes, and gives out clients of each kind
// that survive the end of a plugin's process.
//
// It uses go-plugin for the handshake, AutoMTLS and the gRPC connection, and for nothing else: go-plugin's Ping has no
// deadline, its Kill waits for an answer of the plugin, and its Wait waits for the end of the plugin's pipes (R4, R5).
// So this package owns the process (runner_unix.go): its stdin is the death pipe, it leads its own group, its end is
// known by its pid alone, this package reads its output with bounds, and kills it by its own handle before it tells
// go-plugin.
//
// Nothing here uses go-plugin's reattach: plugins end with the host (R7).
package pluginhost
