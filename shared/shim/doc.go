// Package shim is how a launcher talks to gatehost-shim, the small process that is the parent of a gateway and outlives every
// host and plugin: the layout of a launch's bundle on disk, the protocol of its socket, and the client for both.
//
// A bundle is <run_dir>/<launch_id>/ (0700):
//
//	spec.json       what was launched; names of environment variables, never values
//	state.json      pids, start times, boot id, socket, phase; replaced atomically and fsynced
//	exit            4 KiB, reserved at start and overwritten in place, so that a full disk cannot lose it
//	output-N.log    the bounded log of both pipes (package outlog)
//	lock            held by the shim for its life
//	shim.log        the shim's own words, bounded
//
// The order at a start is what makes it crash-safe: bundle and spec, shim's identity, gateway's identity, and only then is the
// gateway's program executed. Whatever dies in between leaves a bundle that tells what there is.
//
// The bundle format and the protocol are versioned and additive, because old shims meet new hosts for months. This tree may
// import the standard library and golang.org/x/sys only. Windows is not supported yet: it compiles, and says so.
package shim
