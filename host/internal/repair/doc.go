// Package repair executes what doctors propose (ADR 5): it asks the doctors of a gateway in order and gathers the
// evidence that they request, checks a plan before anything is done, backs up every file that the plan names,
// executes it, shows the difference with secrets masked, and can undo it.
//
// Doctors are not trusted: argv that does not begin with the gateway's command, a path outside its state directory,
// a symbolic link that leads out of it, or an endless plan is refused as a whole. The package does not decide when
// to repair, and reaches processes through a function that the host provides.
package repair
