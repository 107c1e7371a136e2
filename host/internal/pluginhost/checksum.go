package pluginhost

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
)

// Checksum finds a plugin as a start would, checks all but its pin, and tells path and SHA-256 in lower-case hex: of the file, or of the
// manifest of a directory.
func Checksum(ctx context.Context, s Spec, pluginDir string) (path, sum string, err error) {
	s.SHA256 = ""
	exe, err := resolve(ctx, s, pluginDir)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = exe.file.Close() }()
	if exe.manifest != nil {
		return exe.path, exe.manifest.SHA256, nil
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, exe.file); err != nil {
		return "", "", fmt.Errorf("cannot read plugin %q (%s): %w", s.Name, exe.path, err)
	}
	return exe.path, hex.EncodeToString(hash.Sum(nil)), nil
}
