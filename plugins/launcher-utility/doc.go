// Package launcherutility is the launcher that works anywhere: each gateway is the child of a gatehost-shim of its own, which
// outlives this plugin and the host. All knowledge of a launch is in its bundle and its shim, so a new process of this plugin
// needs nothing of an old one.
//
// It uses only what a third party's launcher could: shared/shim and shared/pluginkit.
package launcherutility
