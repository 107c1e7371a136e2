// Package lifecycle decides what happens to one gateway. It is a pure function: Step takes a state and one input, and
// returns the next state and the effects that the engine has to perform. There is no clock, goroutine, socket or log in
// it: the time comes with each input, and everything that takes time is an effect whose answer is a later input.
//
// # Identities
//
// Facts about a process match by LaunchID, facts about a connection by SessionID, and answers to effects by OpID,
// whatever was requested in between. The Epoch only numbers the operator's requests: it decides whether an automatic
// follow-up may go on.
//
// # Shape of a run
//
// Every way up is the same chain of phases (recovering, clearing services, probing, hooks, preparing, aligning,
// launching, waiting until ready, connecting, running). Every way down is bringDown: close the session, end the owned
// process, and then do what State.After says (rest, begin again, diagnose, back off). Both keep their open operations
// in State.Pending, so a state that is not final always has something pending (invariant 8 of
// docs/architecture.md). docs/lifecycle.md has the diagram and scenarios.
//
// The package imports the standard library only, and of it neither context nor a logger: a decision that waits or logs
// is not a decision.
package lifecycle
