// Package manifest reads plugin.toml, the manifest of a directory with a plugin: who the plugin says it is, what is
// run, what it asks for, and the sums of all files that it runs from. Strangers write the manifest: it is bounded,
// every path stays inside its directory, and everything that is wrong is reported at once, with line and advice
// (ADR 19).
//
// What a plugin asks for is no grant. The operator grants, in config.toml.
package manifest
