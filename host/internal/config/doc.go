// Package config turns config.toml into a Config: defaults, strict keys, all faults at once, each with its place in
// the file. It knows words, not policies: package host turns words into what the other packages take. It reads the
// configuration file and nothing else; secrets stay where the file says they are.
package config
