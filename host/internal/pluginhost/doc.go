// Package pluginhost finds, starts, checks, restarts and closes plugin processes, and hands out proxies of each kind that
// survive a plugin's death.
//
// It uses go-plugin for the handshake, AutoMTLS and the gRPC connection, and nothing else of it: go-plugin's Ping has no
// deadline, its Kill waits for an answer of the plugin, and its Wait for the end of the plugin's pipes (R4, R5). So the
// process is ours (runner_unix.go): its stdin is the death pipe, it leads its own group, its end is known by its pid alone, its
// output is read by us with bounds, and it is killed by our own handle before go-plugin is told.
//
// Nothing here uses go-plugin's reattach: plugins die with the host (R7).
package pluginhost
