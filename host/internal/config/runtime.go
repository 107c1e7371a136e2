package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gatehost/gatehost/host/internal/tomltext"
	"github.com/gatehost/gatehost/host/internal/trustfile"
	"github.com/gatehost/gatehost/internal/atomicfile"
	"github.com/gatehost/gatehost/internal/foreignfile"
	"github.com/gatehost/gatehost/shared/fault"
)

// socketName is the name of the control socket in the runtime directory.
const socketName = "host.sock"

// maxRuntimeDir leaves room for names of sockets in it: an address of a unix socket has 104 to 108 bytes in all.
const maxRuntimeDir = 60

// runtimeID returns the name of the directory for sockets of the host with a state directory: 8 hexadecimal digits.
func runtimeID(stateDir string) string {
	sum := sha256.Sum256([]byte(filepath.Clean(stateDir)))
	return hex.EncodeToString(sum[:4])
}

// RuntimeDirs lists where the sockets of the host with a state directory may be, best first:
// $XDG_RUNTIME_DIR/gatehost/ID and /tmp/gatehost-UID/ID, ID being 8 hexadecimal digits of stateDir. Both are short.
// Nothing is created.
func RuntimeDirs(stateDir string) []string {
	id := runtimeID(stateDir)
	var dirs []string
	if xdg := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(xdg) {
		if dir := filepath.Join(xdg, "gatehost", id); len(dir) <= maxRuntimeDir {
			dirs = append(dirs, dir)
		}
	}
	return append(dirs, filepath.Join(sharedDir(), sharedName(), id))
}

// sharedDir is the directory that all users of the machine share.
func sharedDir() string {
	if os.PathSeparator != '/' {
		return os.TempDir()
	}
	return "/tmp"
}

func sharedName() string { return "gatehost-" + strconv.Itoa(os.Getuid()) }

// RuntimeDir creates the directory for sockets with mode 0700 and returns its path. It never uses a directory of
// another user: it tries the next one, and then makes one of an accidental name in the shared directory, which it
// remembers in the state directory for clients and for the next host. moved says why that was needed; nil when it was
// not. With runtime_dir, no other place is tried.
func (c *Config) RuntimeDir() (dir string, moved, err error) {
	if c.RuntimeIn != "" {
		dir, err = c.runtimeDirIn()
		return dir, nil, err
	}
	return runtimeDir(RuntimeDirs(c.StateDir), c.StateDir, sharedDir())
}

func runtimeDir(candidates []string, stateDir, shared string) (dir string, moved, err error) {
	var why error
	for _, dir := range candidates {
		err := makePrivate(filepath.Dir(dir))
		if err == nil {
			err = makePrivate(dir)
		}
		if err == nil {
			return dir, nil, nil
		}
		why = err // of the shared place, which is last
	}
	if dir, ok := movedDir(stateDir, shared); ok {
		return dir, why, nil
	}
	dir, err = os.MkdirTemp(shared, sharedName()+"-")
	if err == nil {
		err = atomicfile.Write(filepath.Join(stateDir, movedFile), []byte(dir+"\n"), 0o600)
	}
	if err != nil {
		return "", nil, fault.Wrap(fault.FailedPrecondition, "cannot make a runtime directory", errors.Join(why, err)).
			WithHint(runtimeHint)
	}
	return dir, why, nil
}

const runtimeHint = "set runtime_dir in config.toml to a directory of your own with a short path"

func (c *Config) runtimeDirIn() (string, error) {
	dir := filepath.Join(c.RuntimeIn, runtimeID(c.StateDir))
	if len(dir) > maxRuntimeDir {
		return "", fault.New(fault.InvalidArgument, fmt.Sprintf("cannot use runtime_dir: sockets in %s would have paths "+
			"that are too long: it has %d bytes, at most %d fit", dir, len(dir), maxRuntimeDir)).WithHint(runtimeHint)
	}
	err := os.MkdirAll(c.RuntimeIn, 0o700)
	if err == nil {
		err = makePrivate(dir)
	}
	if err == nil {
		err = trustfile.Check(dir)
	}
	if p, ok := errors.AsType[*trustfile.Problem](err); ok {
		return "", fault.New(fault.PermissionDenied, "cannot use runtime_dir: "+p.Error()).WithHint(p.Hint)
	}
	if err != nil {
		return "", fault.Wrap(fault.FailedPrecondition, "cannot use runtime_dir", err).WithHint(runtimeHint)
	}
	return dir, nil
}

// movedFile is the file in the state directory that holds the path of a runtime directory of an accidental name.
const movedFile = "runtime-dir"

// movedDir returns the runtime directory that the state directory names, when it is still there, and ours alone.
func movedDir(stateDir, shared string) (string, bool) {
	data, err := foreignfile.Read(filepath.Join(stateDir, movedFile), 4096)
	if err != nil {
		return "", false
	}
	dir := strings.TrimSpace(string(data))
	if filepath.Dir(dir) != filepath.Clean(shared) || !strings.HasPrefix(filepath.Base(dir), sharedName()+"-") {
		return "", false
	}
	info, err := os.Lstat(dir)
	return dir, err == nil && info.IsDir() && Ours(info) && info.Mode().Perm()&0o077 == 0
}

// SocketPath returns where the host listens; it creates the runtime directory unless control.socket is set.
func (c *Config) SocketPath() (string, error) {
	if c.Control.Socket != "" {
		return c.Control.Socket, nil
	}
	dir, _, err := c.RuntimeDir()
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
		return fmt.Errorf("%s belongs to %s", dir, ownerOf(info))
	}
	if info.Mode().Perm()&0o077 != 0 {
		return os.Chmod(dir, 0o700) //nolint:gosec // 0700 is right for a directory
	}
	return nil
}

// Sockets lists where the host of a configuration may listen, best first, for clients. It is lenient: it takes what
// it can from a file with faults, since a running host may have been started before they were made. But a file that
// was named (path is not "") and does not tell is an error: the host in the default place would be another one.
func Sockets(path string) ([]string, error) {
	_, sockets, err := Rendezvous(path)
	return sockets, err
}

// Rendezvous is Sockets, and the state directory, whose lock says where the host that runs is; "" when it is unknown.
func Rendezvous(path string) (stateDir string, sockets []string, err error) {
	base, runtimeIn, socket := "", "", ""
	named := path != ""
	if !named {
		path = DefaultPath()
	}
	data, err := read(path)
	if err != nil && named {
		return "", nil, Faults{{File: path, Message: err.Error(), Hint: hintFor(err)}}
	}
	if err == nil {
		raw, err := places(path, data)
		if err != nil && named {
			return "", nil, err
		}
		if abs, err := filepath.Abs(path); err == nil {
			base = filepath.Dir(abs)
		}
		control, _ := raw["control"].(map[string]any)
		if s, ok := control["socket"].(string); ok && s != "" {
			if socket, err = against(base, s); err != nil {
				return "", nil, err
			}
		}
		if s, ok := raw["runtime_dir"].(string); ok && s != "" {
			if runtimeIn, err = against(base, s); err != nil {
				return "", nil, err
			}
		}
		if s, ok := raw["state_dir"].(string); ok && s != "" {
			if stateDir, err = against(base, s); err != nil {
				return "", nil, err
			}
		}
	}
	if stateDir == "" {
		dir, err := DefaultStateDir()
		if err != nil && socket == "" {
			return "", nil, err
		}
		stateDir = dir
	}
	if socket != "" {
		return stateDir, []string{socket}, nil
	}
	dirs := RuntimeDirs(stateDir)
	if dir, ok := movedDir(stateDir, sharedDir()); ok {
		dirs = append(dirs, dir)
	}
	if runtimeIn != "" {
		dirs = []string{filepath.Join(runtimeIn, runtimeID(stateDir))}
	}
	for _, dir := range dirs {
		if info, err := os.Lstat(dir); err == nil && (!info.IsDir() || !Ours(info)) {
			continue // a socket that someone else put there
		}
		sockets = append(sockets, filepath.Join(dir, socketName))
	}
	return stateDir, sockets, nil
}

// places decodes what of a file says where its host listens. Of a file that is no TOML it takes the lines before the
// faulty one; it fails when the others may name a place, too.
func places(path string, data []byte) (map[string]any, error) {
	raw, err := tomltext.Decode(path, data)
	faults, ok := errors.AsType[Faults](err)
	if !ok || len(faults) == 0 || faults[0].Line == 0 {
		return raw, err
	}
	lines := strings.SplitAfter(string(data), "\n")
	at := min(faults[0].Line-1, len(lines))
	rest := strings.Join(lines[at:], "")
	for _, word := range []string{"state_dir", "runtime_dir", "socket"} {
		if strings.Contains(rest, word) {
			faults[0].Hint = "correct the file, or name the socket of the host with --host"
			return nil, faults
		}
	}
	return tomltext.Decode(path, []byte(strings.Join(lines[:at], "")))
}
