package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/gatehost/gatehost/host/internal/tomltext"
)

// socketName is the name of the control socket in the runtime directory.
const socketName = "host.sock"

// maxRuntimeDir leaves room for names of sockets in it: an address of a unix socket has 104 to 108 bytes in all.
const maxRuntimeDir = 60

// RuntimeDirs lists where the sockets of the host with a state directory may be, best first:
// $XDG_RUNTIME_DIR/gatehost/ID and /tmp/gatehost-UID/ID, ID being 8 hexadecimal digits of stateDir. Both are short.
// Nothing is created.
func RuntimeDirs(stateDir string) []string {
	sum := sha256.Sum256([]byte(filepath.Clean(stateDir)))
	id := hex.EncodeToString(sum[:4])
	var dirs []string
	if xdg := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(xdg) {
		if dir := filepath.Join(xdg, "gatehost", id); len(dir) <= maxRuntimeDir {
			dirs = append(dirs, dir)
		}
	}
	shared := "/tmp"
	if os.PathSeparator != '/' {
		shared = os.TempDir()
	}
	return append(dirs, filepath.Join(shared, "gatehost-"+strconv.Itoa(os.Getuid()), id))
}

// RuntimeDir creates the directory for sockets with mode 0700 and returns its path. It never uses a directory of
// another user: it tries the next one.
func (c *Config) RuntimeDir() (string, error) {
	var firstErr error
	for _, dir := range RuntimeDirs(c.StateDir) {
		err := makePrivate(filepath.Dir(dir))
		if err == nil {
			err = makePrivate(dir)
		}
		if err == nil {
			return dir, nil
		}
		if firstErr == nil {
			firstErr = err
		}
	}
	return "", fmt.Errorf("cannot make runtime directory: %w", firstErr)
}

// SocketPath returns where the host listens; it creates the runtime directory unless control.socket is set.
func (c *Config) SocketPath() (string, error) {
	if c.Control.Socket != "" {
		return c.Control.Socket, nil
	}
	dir, err := c.RuntimeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, socketName), nil
}

// makePrivate creates one directory of mode 0700 or accepts one that this user owns already; its parent must exist.
func makePrivate(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return err
	}
	info, err := os.Lstat(dir) // not Stat: /tmp is shared, and a link there may belong to anyone
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	if !Ours(info) {
		return fmt.Errorf("%s belongs to another user", dir)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return os.Chmod(dir, 0o700) //nolint:gosec // 0700 is right for a directory
	}
	return nil
}

// Sockets lists where the host of a configuration may listen, best first, for clients. It is lenient: it takes what
// it can from a file with faults, since a running host may have been started before they were made.
func Sockets(path string) []string {
	base, stateDir := "", ""
	if path == "" {
		path = DefaultPath()
	}
	if data, err := read(path); err == nil {
		raw, _ := tomltext.Decode(path, data) // nil when it is no TOML: then the defaults count
		if abs, err := filepath.Abs(path); err == nil {
			base = filepath.Dir(abs)
		}
		control, _ := raw["control"].(map[string]any)
		if s, ok := control["socket"].(string); ok && s != "" {
			return []string{against(base, s)}
		}
		if s, ok := raw["state_dir"].(string); ok && s != "" {
			stateDir = against(base, s)
		}
	}
	if stateDir == "" {
		dir, err := DefaultStateDir()
		if err != nil {
			return nil
		}
		stateDir = dir
	}
	var out []string
	for _, dir := range RuntimeDirs(stateDir) {
		if info, err := os.Lstat(dir); err == nil && (!info.IsDir() || !Ours(info)) {
			continue // a socket that someone else put there
		}
		out = append(out, filepath.Join(dir, socketName))
	}
	return out
}

func against(base, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}
