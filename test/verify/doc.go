// Package verify tests `gatehost plugin verify` by the built binaries: our own plugins keep the contract, and plugins
// that break one promise are caught by the check that is meant for it.
package verify
