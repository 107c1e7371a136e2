package plugin

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Grants that an operator may give to a plugin in config.toml (`grant = [...]`).
const (
	// GrantGatewayToken lets a plugin see the gateway's token.
	GrantGatewayToken = "gateway-token"
	// GrantGatewayConfig lets a doctor see the content of the gateway's files, which may hold secrets.
	GrantGatewayConfig = "gateway-config"
	// GrantGatewayFiles lets the plans of a doctor write every file of the gateway's state directory without a request
	// of the operator; without it only the configuration file.
	GrantGatewayFiles = "gateway-files"
	// GrantCommand begins a grant that names one command: "command:plugins list --json" lets a doctor have the gateway's
	// own command run with exactly these words behind it, as evidence and as a step of a plan.
	GrantCommand = "command:"
)

// Bounds of a command that a grant names.
const (
	maxGrant      = 256 // bytes of the whole grant: as much as the wire carries
	maxGrantWords = 32
)

// grantWord is a word of a command that a grant may name. It leaves out what a reader could take for a pattern, a quote
// or a variable: the words are compared as they are.
var grantWord = regexp.MustCompile(`^[A-Za-z0-9@%+=:,./_-]+$`)

// Grants lists the grants that have no words of their own.
func Grants() []string { return []string{GrantGatewayConfig, GrantGatewayFiles, GrantGatewayToken} }

// ErrUnknownGrant is wrapped by CheckGrant for a text that is no grant at all.
var ErrUnknownGrant = errors.New("is no grant")

// CheckGrant reports why a text is not a grant. Errors: ErrUnknownGrant; others say what is wrong with the words of a
// command.
func CheckGrant(grant string) error {
	words, isCommand := CommandOfGrant(grant)
	switch {
	case !isCommand && !slices.Contains(Grants(), grant):
		return fmt.Errorf("%w: there are %s and %sWORDS", ErrUnknownGrant, strings.Join(Grants(), ", "), GrantCommand)
	case !isCommand:
		return nil
	case len(grant) > maxGrant || len(words) > maxGrantWords:
		return fmt.Errorf("names a command of more than %d bytes or %d words", maxGrant-len(GrantCommand), maxGrantWords)
	}
	for _, w := range words {
		if !grantWord.MatchString(w) {
			return fmt.Errorf("names the word %q: the words of a command are separated by one space and hold only letters, "+
				"digits and @%%+=:,./_-; there are no quotes and no patterns", w)
		}
	}
	return nil
}

// CommandOfGrant returns the words that a grant allows behind the gateway's command. ok is false when the grant is of
// another kind.
func CommandOfGrant(grant string) (words []string, ok bool) {
	text, ok := strings.CutPrefix(grant, GrantCommand)
	if !ok {
		return nil, false
	}
	return strings.Split(text, " "), true
}

// CommandsOf returns the commands that a list of grants names. Texts that are no grants are left out.
func CommandsOf(grants []string) [][]string {
	var out [][]string
	for _, g := range grants {
		if words, ok := CommandOfGrant(g); ok && CheckGrant(g) == nil {
			out = append(out, words)
		}
	}
	return out
}
