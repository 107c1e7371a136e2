// Package plugintool does what an operator or an author does with a plugin while no host runs it: verify it against the
// contract, pin its checksum in the configuration, seal the files of its directory. It works without a host: it must
// not import a gateway, an engine or the store.
package plugintool
