// Package manifest reads plugin.toml, the sheet that a directory with a plugin carries: who the plugin says it is, what is run, what it
// asks for, and the sums of all files that it runs from. The sheet is written by strangers: it is bounded, every path stays inside of
// its directory, and all that is wrong is told at once, with line and advice (ADR 19).
//
// What a plugin asks for is no grant. Who may have what is the operator's to say, in config.toml.
package manifest
