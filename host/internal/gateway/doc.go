// Package gateway is one supervised gateway. It implements the ports of its engine: launches and launchers, sessions,
// output, hooks, services, the port's probe, the observer that turns facts into events, metrics and log lines; and it
// gives the gateway's doctors, health view and configuration file what they need. A core holds what these parts share;
// the parts do not know each other (core.go).
//
// The package owns the settings in force of its gateway and what its processes were launched with. The state belongs to
// the engine's owner, and what is derived from it to package observe. It must not import registry, reload, api or
// httpapi: a gateway knows no other gateway and no host.
package gateway
