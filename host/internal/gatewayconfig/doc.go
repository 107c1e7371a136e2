// Package gatewayconfig edits the configuration of a gateway: its own openclaw.json, not the host's config.toml.
//
// There is one queue per gateway. A running gateway is asked: config.get, change, config.set with the hash of what
// was read. The file of a stopped gateway is edited, with its comments, if it is still what was read. Both ways try
// once more when another program was faster. An edit that changes nothing writes nothing, a configuration that
// cannot be read is not written, and a copy of the old one is stored.
//
// Values may be secrets. They are in the copies (0600), in what goes to the gateway and in its file, and nowhere
// else: results are masked.
package gatewayconfig
