// Package gatewayconfig edits the configuration of a gateway: its own openclaw.json, not the host's config.toml.
//
// There is one queue per gateway. While the gateway runs it is asked: config.get, change, config.set with the hash of what was changed.
// While it does not, its file is edited, comments and all, if it is still what was read. Each way is tried once more when somebody
// else was faster. What is not changed is not written, what could not be read is not written, and a copy of what was there is kept.
//
// Values may be secrets. They are in the copies (0600), in what goes to the gateway and in its file, and nowhere else: results are masked.
package gatewayconfig
