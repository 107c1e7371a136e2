// Package conformance compares the emulated gateway of shared/gatewaytest with the real OpenClaw: the same exchanges,
// probes, signals and broken configurations are played to both and what comes back is compared. Without build tags it
// is compared with what was captured from the real one (testdata); with the tag real, with the real one itself.
package conformance
