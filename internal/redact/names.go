// Package redact hides secrets, for everything that gatehost shows, logs or stores: by the name under which a value
// stands, by the shape of a credential in text, and by the values that are known to be secret. All of it uses the one
// list of names in this file.
package redact

import (
	"regexp"
	"strings"
)

// Mark replaces a secret.
const Mark = "[redacted]"

// words are what the names of secrets contain; a regular expression, to be matched in any case.
const words = `token|passwo?r?d|secret|passphrase|credential|cookie|signature|nonce|` +
	`(?:api|private|access|signing|encrypt|encryption)_?-?key`

// headers are names too. In a text a scheme may follow them ("Authorization: Basic ..."), so that patterns of their
// own find their values.
const headers = `authorization|bearer`

// tables are names of objects that hold headers of HTTP. Any of their values may be a credential: a provider chooses
// the name of its header.
const tables = `^(?:extra|custom|default|http|request)?_?-?headers$`

var secretName = regexp.MustCompile(`(?i)(?:` + words + `|` + headers + `|` + tables + `)`)

// countName is the name of a number of tokens of a language model.
var countName = regexp.MustCompile(`(?i)(?:tokens|token_?-?(?:count|limit|budget|usage))$`)

// Name reports whether the value under a name is a secret: "token", "botToken", "AWS_ACCESS_KEY_ID", "Set-Cookie".
func Name(name string) bool { return secretName.MatchString(name) }

// Harmless reports whether a value, as it is written in JSON, is no secret although it stands under a secret's name:
// a switch, nothing, or a number of tokens such as `maxTokens: 4096`.
func Harmless(name, value string) bool {
	switch value {
	case "true", "false", "null", "undefined", `""`, "''":
		return true
	}
	return count.MatchString(value) && countName.MatchString(name)
}

// count is a figure that is too short for a credential.
var count = regexp.MustCompile(`^-?[0-9][0-9_.]{0,9}$`)

// URL hides the user and the password in an address; a bare user:password@host:port counts as one. A text without
// them is returned as it is. It reads what url.Parse refuses as well, since a malformed address must not be shown
// either.
func URL(address string) string {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		scheme, rest = "http", address
	}
	at := strings.LastIndex(rest, "@") // a password may contain anything that ends an authority
	if at < 0 {
		return address
	}
	return scheme + "://redacted" + rest[at:]
}
