// Package repair disposes of what doctors propose (ADR 5): it asks the doctors of a gateway in order and gathers the evidence
// they wish for, checks a plan before anything is done, backs up every file that the plan names, executes it, shows the
// difference with secrets masked, and keeps the way back.
//
// Doctors are strangers: argv that is not the gateway's command, a path outside its state directory, a symbolic link that leads
// out of it, or a plan without end is refused as a whole. The package decides nothing about when to repair, reaches
// processes through a function that the host gives it, and imports only shared/{doctor,launcher,plugin,fault}.
package repair
