package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/gatehost/gatehost/host/internal/trustfile"
	"github.com/gatehost/gatehost/internal/foreignfile"
	"github.com/gatehost/gatehost/shared/fault"
)

// Read returns the token of the sources env and file; for generate it returns "", and the host's store has the token.
// No other user may be able to read or change the file, and it must hold one line. Errors say what to do and never
// contain the token.
func (t Token) Read(getenv func(string) string) (string, error) {
	switch {
	case t.Env != "":
		v := strings.TrimSpace(getenv(t.Env))
		if v == "" {
			return "", tokenFault(fmt.Errorf("the variable %s is empty", t.Env),
				"set "+t.Env+" where the host is started")
		}
		return usable(v, "the variable "+t.Env)
	case t.File != "":
		return readToken(t.File)
	default:
		return "", nil
	}
}

func readToken(path string) (string, error) {
	f, _, err := foreignfile.Open(path)
	if errors.Is(err, foreignfile.ErrNotRegular) {
		return "", tokenFault(fmt.Errorf("%s is not a regular file", path), "")
	}
	if err != nil {
		return "", tokenFault(err, "check the path and its owner")
	}
	defer f.Close()
	if _, err := SecretFile(path); err != nil { // a warning was given when the configuration was loaded
		hint := ""
		if p, ok := errors.AsType[*trustfile.Problem](err); ok {
			hint = p.Hint
		}
		return "", tokenFault(err, hint)
	}
	data, err := io.ReadAll(io.LimitReader(f, 8<<10))
	if err != nil {
		return "", tokenFault(err, "")
	}
	return usable(string(bytes.TrimSpace(data)), path)
}

func usable(v, source string) (string, error) {
	if v == "" || len(v) > 4096 || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", tokenFault(errors.New(source+" does not hold one line of 1 to 4096 characters"),
			"put the token, and nothing else, there")
	}
	return v, nil
}

func tokenFault(cause error, hint string) error {
	return fault.Wrap(fault.InvalidArgument, "cannot read the gateway's token", cause).WithHint(hint)
}
