// Package host is the facade of gatehost for cmd/host: load a configuration, make a Host, run it. It also has what the
// verbs need that work without a running host: History, and the functions about one plugin (facade.go).
//
// The work is done in the packages below internal/. The function assemble in host.go is the one composition root: it
// makes the parts and connects them. Beside that, the package decides only in which order a host starts and ends (Run),
// and what happens when the journal cannot be written (journal.go). It must not import a plugin's implementation: it
// knows the kinds of plugins only.
package host
