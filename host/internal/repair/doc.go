// Package repair executes what doctors propose (ADR 5): it asks the doctors of a gateway in order and gathers the
// evidence that they request, checks a plan before anything is done, backs up every file that the plan names,
// executes it, shows the difference with secrets masked, and can undo it.
//
// Doctors are not trusted: a command that is not on the list of the gateway's profile and that no grant names, a path
// outside the state directory, a symbolic link that leads out of it, or an endless plan is refused as a whole. The
// package does not decide when to repair, and reaches processes through a function that the host provides.
package repair
