// Package shim is how a launcher talks to gatehost-shim, the small process that is the parent of a gateway and outlives
// every host and plugin: the layout of a launch's bundle on disk, the protocol of its socket, and the client for both.
//
// A bundle is <run_dir>/<launch_id>/ (0700):
//
//	spec.json       what was launched; names of environment variables, never values
//	state.json      pids, start times, boot id, socket, phase; replaced atomically and fsynced
//	exit            4 KiB, reserved at start and overwritten in place, so that a full disk cannot lose it
//	output-N.log    the bounded log of both pipes (package outlog)
//	lock            held by the shim for its life
//	shim.log        the shim's own log, bounded
//	NAME.broken-T   a file that could not be read at Unix time T, and was written anew from what lives (RecoverBundle)
//
// A bundle that cannot be read and of which nothing lives is moved to <run_dir>/.broken (Quarantine) and never removed.
//
// A process belongs to a launch if it descends from a process with the recorded pid and start time, if it has EnvMark
// in its environment, if it is in the control group that the shim made (cgroup v2, known by its inode), or, only when a
// launch is ended, if it has a listening socket that it inherited. On a system without control groups the shim works
// without and says so in shim.log.
//
// The order at a start makes it crash-safe: bundle and spec, shim's identity, gateway's identity, and only then the
// gateway's program is executed. Whatever dies in between leaves a bundle that says what exists.
//
// The bundle format and the protocol are versioned and additive, because old shims meet new hosts for months. This tree
// may import the standard library and golang.org/x/sys only. Windows is not supported yet: it compiles, and says so.
package shim
