package shim

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Secret is what a client shows to a shim: that it can read the launch's bundle. A socket of the same user can be
// reached from places from which the bundle cannot be read: from the sandbox of a plugin with the network, from a
// container that has the socket's directory. It lies in the bundle only, and is never sent by a shim.
type Secret string

const maxSecret = 256 // bytes of its file

// NewSecret makes the secret of a launch.
func NewSecret() Secret { return Secret(rand.Text()) }

// ReadSecret returns the secret of a bundle; "" when it has none, as those of older shims.
func ReadSecret(dir string) (Secret, error) {
	b, err := readFile(filepath.Join(dir, keyFile), maxSecret)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot read the secret of the launch: %w", err)
	}
	return Secret(strings.TrimSpace(string(b))), nil
}

// Matches reports whether shown is the secret, in a time that does not depend on where they differ.
func (s Secret) Matches(shown string) bool {
	return s != "" && subtle.ConstantTimeCompare([]byte(s), []byte(shown)) == 1
}

// Keep writes the secret into the bundle, unless it is there. A shim calls it before it listens, and whenever a client
// comes without the secret: then a lost or spoiled file locks no host out.
func (s Secret) Keep(dir string) error {
	if now, err := ReadSecret(dir); err == nil && s.Matches(string(now)) {
		return nil
	}
	if fi, err := os.Lstat(filepath.Join(dir, keyFile)); err == nil && fi.IsDir() { // no rename replaces it
		if err := setAsideFile(dir, keyFile); err != nil {
			return err
		}
	}
	return writeWhole(filepath.Join(dir, keyFile), append([]byte(s), '\n'))
}
