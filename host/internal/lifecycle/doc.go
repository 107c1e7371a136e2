// Package lifecycle decides what happens to one gateway. It is a pure function: Step takes a state and one input and
// answers the next state and the effects that the engine has to perform. There is no clock, goroutine, socket or log in here;
// time comes in with each input, and whatever has to be waited for is an effect that answers later.
//
// # Identities
//
// Facts about a process match by LaunchID, facts about a connection by SessionID, answers to effects by OpID, whatever was
// asked in between. The Epoch only numbers the operator's intents: it decides whether an automatic follow-up may go on.
//
// # Shape of a run
//
// Every road up is the same chain of phases (recovering, clearing services, probing, hooks, preparing, aligning, launching, waiting until
// ready, connecting, running), and every road down is bringDown: close the session, terminate what is owned, and then do
// what State.After says (rest, begin again, diagnose, back off). Both roads keep their open questions in State.Pending, so a
// state that is not final always has something pending (invariant 8 of docs/architecture.md).
//
// The package imports nothing of ours, and neither context nor a logger: a decision that waits or logs is not a decision.
package lifecycle
