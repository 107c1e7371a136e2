// Package store keeps what must survive the host: the lock of the state directory, launch identities, tokens. Everything is
// written atomically, with 0600 in 0700 directories.
//
// Layout under the state directory:
//
//	host.lock               held while a host lives; the kernel lets go of it with its holder
//	run/<launch_id>/        launch bundles; launch.json is written here before Launch is called
//	gateways/<name>/token   a token that the host made (token = {generate = true})
//	plugins/<name>/         private data of plugins
//	repairs/<name>/         backups of repairs
//	last-good/<name>/       configurations with which a gateway came to run (package repair)
//	edits/<name>/           copies of gateways' configurations, for undo (package gatewayconfig)
//	journal/                what has happened (package journal)
//	device.json             the host's identity towards gateways (package session)
//	fingerprint.key         what fingerprints of a launch are made with
//	reserve                 room that is given up when the disk is full
//
// What is read back is checked. A file that cannot be used is set aside under another name and said, never removed and never
// overwritten, where a new one does no harm; where it would, it is left where it is and is an error:
//
//	device.json      set aside, a new identity is made (it may have to be paired again); of a newer version: left alone
//	fingerprint.key  set aside, a new key is made (drift is not seen for gateways of before)
//	token            left alone: a running gateway may use it
//	journal segment  set aside, the journal goes on behind it
//	manifest of a repair, bundle of a launch: left alone; the repair cannot be undone, the launch is reported
//	kept configuration: left alone and not used
package store

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gatehost/gatehost/internal/atomicfile"
)

// Store is an opened state directory. Safe for concurrent use.
type Store struct {
	dir  string
	lock *os.File
}

// ErrLocked is returned by Open when another host holds the directory.
var ErrLocked = errors.New("another host is using this state directory")

// Open creates dir if needed, closes it to others, and locks it until Close.
func Open(dir string) (*Store, error) {
	if err := privateDir(dir); err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(dir, "host.lock"))
	if err != nil {
		return nil, fmt.Errorf("cannot lock state directory %s: %w", dir, err)
	}
	s := &Store{dir: dir, lock: lock}
	for _, sub := range []string{"run", "gateways", "plugins", "repairs", "last-good", "edits"} {
		if err := privateDir(filepath.Join(dir, sub)); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// Close lets go of the lock.
func (s *Store) Close() error { return s.lock.Close() }

// RunDir is where launch bundles live.
func (s *Store) RunDir() string { return filepath.Join(s.dir, "run") }

// PluginDir is the parent of the plugins' private data directories.
func (s *Store) PluginDir() string { return filepath.Join(s.dir, "plugins") }

// RepairDir is where the backups of repairs are kept.
func (s *Store) RepairDir() string { return filepath.Join(s.dir, "repairs") }

// GoodDir is where the configurations are kept with which gateways came to run.
func (s *Store) GoodDir() string { return filepath.Join(s.dir, "last-good") }

// EditDir is where the copies of a gateway's configuration are kept.
func (s *Store) EditDir(gateway string) string { return filepath.Join(s.dir, "edits", gateway) }

// DeviceFile is the device identity of a gateway's sessions.
func (s *Store) DeviceFile() string { return filepath.Join(s.dir, "device.json") }

var launchID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// launchRecord is what is durable before a launch.
type launchRecord struct {
	Version   int       `json:"version"`
	LaunchID  string    `json:"launchId"`
	Gateway   string    `json:"gateway"`
	CreatedAt time.Time `json:"createdAt"`
}

// PrepareLaunch makes a new launch identity durable: when it returns, the directory and its record are on disk. On a full disk it gives
// up the reserve, so that a gateway that ended can still be launched again.
func (s *Store) PrepareLaunch(gateway string) (string, error) {
	id, err := s.prepareLaunch(gateway)
	if isFull(err) && s.release() {
		id, err = s.prepareLaunch(gateway)
	}
	return id, err
}

func (s *Store) prepareLaunch(gateway string) (string, error) {
	id := uuid.NewString()
	dir := filepath.Join(s.RunDir(), id)
	if err := privateDir(dir); err != nil {
		return "", err
	}
	data, err := json.Marshal(launchRecord{Version: 1, LaunchID: id, Gateway: gateway, CreatedAt: time.Now().UTC()})
	if err != nil {
		return "", fmt.Errorf("cannot encode launch record: %w", err)
	}
	if err := writeFile(filepath.Join(dir, "launch.json"), data); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return id, atomicfile.SyncDir(s.RunDir())
}

// DiscardLaunch removes what is left of a launch identity. Anything that is not one is refused.
func (s *Store) DiscardLaunch(id string) error {
	if !launchID.MatchString(id) || strings.Trim(id, ".") == "" {
		return fmt.Errorf("cannot discard launch %q: not a launch id", id)
	}
	return os.RemoveAll(filepath.Join(s.RunDir(), id))
}

// SweepLaunches removes identities that were prepared before a moment and came to no launch: their host was killed in between. Call it
// only when nothing of that host can be about to launch any more. It answers how many there were.
func (s *Store) SweepLaunches(before time.Time) (int, error) {
	entries, err := os.ReadDir(s.RunDir())
	if err != nil {
		return 0, fmt.Errorf("cannot look for launches that never came: %w", err)
	}
	n := 0
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || !info.ModTime().Before(before) || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		files, err := os.ReadDir(filepath.Join(s.RunDir(), e.Name()))
		if err != nil || len(files) != 1 || files[0].Name() != "launch.json" {
			continue
		}
		if err := s.DiscardLaunch(e.Name()); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// Token is the token that the host made for a gateway: made once, kept with 0600 (B320). A file that holds no token is an
// error, never replaced: a running gateway may still use it.
func (s *Store) Token(gateway string) (string, error) {
	dir := filepath.Join(s.dir, "gateways", gateway)
	if err := privateDir(dir); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "token")
	data, err := readRegular(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		raw := make([]byte, 16)
		_, _ = rand.Read(raw) // never fails
		token := "gatehost-" + hex.EncodeToString(raw)
		return token, writeFile(path, []byte(token+"\n"))
	case err != nil:
		return "", fmt.Errorf("cannot read token: %w", err)
	}
	token := string(bytes.TrimSpace(data))
	if len(token) < 8 || len(token) > 4096 || strings.ContainsAny(token, "\x00\n\r") {
		return "", fmt.Errorf("cannot use token file %s: it does not hold one line of 8 to 4096 characters; restore or remove it", path)
	}
	return token, nil
}

// privateDir makes a directory that only its owner can use.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("cannot look at directory: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // 0700 is right for a directory
			return fmt.Errorf("cannot close directory to others: %w", err)
		}
	}
	return nil
}

// writeFile replaces a file that only its owner may read.
func writeFile(path string, data []byte) error { return atomicfile.Write(path, data, 0o600) }

// HooksFile is where it is kept which work before launches of a gateway need not be done again; its directory is made.
func (s *Store) HooksFile(gateway string) (string, error) {
	dir := filepath.Join(s.dir, "gateways", gateway)
	return filepath.Join(dir, "hooks.json"), privateDir(dir)
}

// KeepUndo stores how to bring back a platform service that was unloaded for a gateway; the newest record of a service counts.
func (s *Store) KeepUndo(gateway, service string, undo []byte) error {
	dir := filepath.Join(s.dir, "gateways", gateway, "unloaded")
	if err := privateDir(dir); err != nil {
		return err
	}
	data, err := json.MarshalIndent(struct {
		Version int       `json:"version"`
		Service string    `json:"service"`
		At      time.Time `json:"at"`
		Undo    []byte    `json:"undo"`
	}{1, service, time.Now().UTC(), undo}, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode undo record: %w", err)
	}
	sum := sha256.Sum256([]byte(service)) // a service's name may hold slashes
	return writeFile(filepath.Join(dir, hex.EncodeToString(sum[:8])+".json"), data)
}

// FingerprintKey is a random key of this state directory: fingerprints made with it tell whether a value has changed, and nothing
// else. One that cannot be used is set aside and replaced; remark says so then. What was fingerprinted with it cannot be compared any more.
func (s *Store) FingerprintKey() (key []byte, remark, err error) {
	path := filepath.Join(s.dir, "fingerprint.key")
	data, err := readRegular(path)
	if err == nil {
		if key, err := hex.DecodeString(strings.TrimSpace(string(data))); err == nil && len(key) == sha256.Size {
			return key, nil, nil
		}
		err = errors.New("it does not hold a key")
	}
	if !errors.Is(err, fs.ErrNotExist) {
		if remark = setAside(path, err); errors.Is(remark, errNotMoved) {
			return nil, nil, remark
		}
	}
	key = make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	return key, remark, writeFile(path, []byte(hex.EncodeToString(key)+"\n"))
}

var errNotMoved = errors.New("it could not be set aside")

// setAside moves what cannot be used out of the way and says so.
func setAside(path string, why error) error {
	aside := path + ".broken-" + time.Now().UTC().Format("20060102T150405.000000000")
	if err := os.Rename(path, aside); err != nil {
		return fmt.Errorf("cannot use %s: %w; %w: %w", path, why, errNotMoved, err)
	}
	return fmt.Errorf("cannot use %s: %w; it was set aside as %s", path, why, filepath.Base(aside))
}

// maxSmall bounds every file of this package.
const maxSmall = 64 << 10

// readRegular reads a small file. What is no regular file is refused without waiting for it: a FIFO in its place would hang us.
func readRegular(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", path)
	case info.Size() > maxSmall:
		return nil, fmt.Errorf("%s has %d bytes, which is too large", path, info.Size())
	}
	return os.ReadFile(path)
}

// reserveSize is room for some launches: each takes a directory and a few small files.
const reserveSize = 256 << 10

// Reserve makes sure of the reserve. It is for a time when the disk has room; an error means that it has none.
func (s *Store) Reserve() error {
	path := filepath.Join(s.dir, "reserve")
	if info, err := os.Stat(path); err == nil && info.Size() == reserveSize {
		return nil
	}
	room := make([]byte, reserveSize)
	_, _ = rand.Read(room) // never fails; a file system may store zeros in no room at all
	return writeFile(path, room)
}

// release gives the reserve up; false when there was none.
func (s *Store) release() bool { return os.Remove(filepath.Join(s.dir, "reserve")) == nil }
