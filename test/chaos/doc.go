// Package chaos runs a host of built binaries with several gateways, gives it random commands, kills what it consists
// of at random points of them, and checks after each episode that nothing was lost, doubled or left behind. It imports
// nothing of the host.
//
// CHAOS_SEED replays the same sequence of actions (what they meet depends on the machine's timing), CHAOS_DURATION is
// how long new episodes begin (default 60s), CHAOS_REPORT names a file for the table that is printed at the end. With
// GATEHOST_OPENCLAW one of the gateways is the real one. docs/reliability.md says what is promised.
package chaos
