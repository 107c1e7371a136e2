// Package shimlauncher is a launcher that works anywhere: each gateway is the child of a gatehost-shim of its own,
// which outlives the plugin and the host. All knowledge of a launch is in its bundle and its shim, so a new process of
// the plugin needs nothing of an old one.
//
// An author embeds *Launcher and replaces methods: mostly what is run, in Launch and Exec. plugins/launcher-utility is
// this package and a name.
package shimlauncher
