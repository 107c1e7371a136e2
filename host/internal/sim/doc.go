// Package sim holds a deterministic simulator of everything around the engine. The engine and the lifecycle are the
// real ones; the launcher with its processes and shims, the sessions, the port, the platform's services, the doctors
// and the output are emulated, and all of it lives inside a testing/synctest bubble, where time is virtual.
//
// # Why a seed replays
//
// One goroutine, the driver, owns the emulated world: it alone draws numbers and changes things. A call into the world
// only registers itself and waits. The driver lets the bubble come to rest, takes what was registered in a sorted
// order, draws what becomes of it, and puts that into a queue of events. No two events share an instant: the place
// below the millisecond is the event's number, and every delay of the engine and of the policy is whole milliseconds,
// so whatever follows from an event inherits its place.
//
// # What is checked
//
// The nine invariants of docs/architecture.md after every step, against the world and not only against the state
// (invariants_test.go); then, when the faults stop, that a wanted gateway runs within bounded time, that each command
// was answered once, and that nothing is left behind. The bugs in testdata/mutants show that each of these checks can
// fail: make mutants compiles the tests with one after the other in the code (go test -overlay), and each must be
// found. Under the burden in testdata/burdens all checks must hold.
//
// Only tests are in here. SIM_SCHEDULES sets how many schedules run, SIM_FROM the first seed, SIM_SEED replays one.
package sim
