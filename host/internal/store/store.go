// Package store keeps what must survive the host: the lock of the state directory, launch identities, tokens.
// Everything is written atomically, with 0600 in 0700 directories.
//
// Layout under the state directory:
//
//	host.lock               held while a host lives; the kernel releases it with its holder; says where the host is
//	run/<launch_id>/        launch bundles; launch.json is written here before Launch is called
//	gateways/<name>/token   a token that the host made (token = {generate = true})
//	plugins/<name>/         private data of plugins
//	repairs/<name>/         backups of repairs
//	last-good/<name>/       configurations with which a gateway ran (package repair)
//	edits/<name>/           copies of gateways' configurations, for undo (package gatewayconfig)
//	journal/                events (package journal)
//	device.json             the host's identity towards gateways (package session)
//	fingerprint.key         the key of the fingerprints of launches
//	reserve                 space that is released when the disk is full
//
// What is read back is checked. A file that cannot be used is set aside under another name and said, never removed
// and never overwritten, where a new one does no harm; where it would, it is left where it is and is an error:
//
//	device.json      set aside, a new identity is made, to be paired again; of a newer version: left alone
//	fingerprint.key  set aside, a new key is made (no drift is found for gateways that run)
//	token            left alone: a running gateway may use it
//	journal segment  set aside, the journal continues in a new segment
//	manifest of a repair, bundle of a launch: left alone; the repair cannot be undone, the launch is reported
//	last good configuration: left alone and not used
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
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/gatehost/gatehost/internal/atomicfile"
	"github.com/gatehost/gatehost/shared/fault"
)

// Store is an opened state directory. Safe for concurrent use.
type Store struct {
	dir  string
	lock *os.File

	mu       sync.Mutex  // guards the reserve: launches of several gateways are prepared at once
	released time.Time   // when it was released last
	renewal  *time.Timer // armed while there is no reserve
	closed   bool
}

const lockName = "host.lock"

// ErrLocked is returned by Open when another host holds the directory.
var ErrLocked = errors.New("another host is using this state directory")

// Open creates dir if needed, closes it to other users, and locks it until Close.
func Open(dir string) (*Store, error) {
	if err := privateDir(dir); err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(dir, lockName))
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

// Close releases the lock.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.renewal != nil {
		s.renewal.Stop()
	}
	return s.lock.Close()
}

// RunDir returns the directory of launch bundles.
func (s *Store) RunDir() string { return filepath.Join(s.dir, "run") }

// PluginDir returns the parent of the plugins' private data directories.
func (s *Store) PluginDir() string { return filepath.Join(s.dir, "plugins") }

// RepairDir returns the directory of the backups of repairs.
func (s *Store) RepairDir() string { return filepath.Join(s.dir, "repairs") }

// GoodDir returns the directory of the configurations with which gateways ran.
func (s *Store) GoodDir() string { return filepath.Join(s.dir, "last-good") }

// EditDir returns the directory of the copies of a gateway's configuration.
func (s *Store) EditDir(gateway string) string { return filepath.Join(s.dir, "edits", gateway) }

// DeviceFile returns the file of the device identity of sessions.
func (s *Store) DeviceFile() string { return filepath.Join(s.dir, "device.json") }

var launchID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// launchRecord is what must be on disk before a launch.
type launchRecord struct {
	Version   int       `json:"version"`
	LaunchID  string    `json:"launchId"`
	Gateway   string    `json:"gateway"`
	CreatedAt time.Time `json:"createdAt"`
}

// PrepareLaunch makes a new launch identity durable: when it returns, the directory and its record are on disk. When
// the disk has no room for all files of a launch it releases the reserve, so that a gateway that ended can still be
// launched again: what the launcher and the shim write comes later, and fails later.
func (s *Store) PrepareLaunch(gateway string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if isFull(s.try(launchRoom)) {
		s.release()
	}
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

// TryLaunch writes the record of a launch and removes it: it fails when PrepareLaunch would.
func (s *Store) TryLaunch(gateway string) error {
	id, err := s.PrepareLaunch(gateway)
	if err != nil {
		return err
	}
	return s.DiscardLaunch(id)
}

// DiscardLaunch removes what is left of a launch identity. It refuses anything else.
func (s *Store) DiscardLaunch(id string) error {
	if !launchID.MatchString(id) || strings.Trim(id, ".") == "" {
		return fmt.Errorf("cannot discard launch %q: not a launch id", id)
	}
	return os.RemoveAll(filepath.Join(s.RunDir(), id))
}

// SweepLaunches removes identities that were prepared before a moment and never launched: their host was killed in
// between. Call it only when no launch of that host can still happen. It returns how many it removed.
func (s *Store) SweepLaunches(before time.Time) (int, error) {
	entries, err := os.ReadDir(s.RunDir())
	if err != nil {
		return 0, fmt.Errorf("cannot look for launch records that were never started: %w", err)
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

// Token returns the token that the host made for a gateway: made once, stored with 0600 (B320). A file that holds
// no token is an error and is never replaced: a running gateway may still use it.
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
		return "", fmt.Errorf(
			"cannot use token file %s: it does not hold one line of 8 to 4096 characters; restore or remove it", path)
	}
	return token, nil
}

// privateDir creates a directory that only its owner can use.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fault.Wrap(fault.PermissionDenied, "cannot make directory", err).WithHint(
			"set state_dir in config.toml to a directory that this user may write, on a disk that is not read-only")
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("cannot check directory: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // 0700 is right for a directory
			return fault.Wrap(fault.PermissionDenied, "cannot close directory to other users", err).WithHint(fmt.Sprintf(
				"it belongs to another user, as the top of a volume does; set state_dir = %q in config.toml",
				filepath.Join(dir, "gatehost")))
		}
	}
	return nil
}

// writeFile replaces a file that only its owner may read.
func writeFile(path string, data []byte) error { return atomicfile.Write(path, data, 0o600) }

// HooksFile returns the file that remembers which hooks need not run again; it creates the directory.
func (s *Store) HooksFile(gateway string) (string, error) {
	dir := filepath.Join(s.dir, "gateways", gateway)
	return filepath.Join(dir, "hooks.json"), privateDir(dir)
}

// FingerprintKey returns a random key of this state directory: fingerprints made with it tell whether a value has
// changed, and nothing else. It sets a file that cannot be used aside and makes a new key; then remark says so, and
// older fingerprints can no longer be compared.
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

// setAside renames a file that cannot be used and returns an error that says so.
func setAside(path string, why error) error {
	aside := path + ".broken-" + time.Now().UTC().Format("20060102T150405.000000000")
	if err := os.Rename(path, aside); err != nil {
		return fmt.Errorf("cannot use %s: %w; %w: %w", path, why, errNotMoved, err)
	}
	return fmt.Errorf("cannot use %s: %w; it was set aside as %s", path, why, filepath.Base(aside))
}

// maxSmall bounds every file of this package.
const maxSmall = 64 << 10

// readRegular reads a small file. It refuses anything but a regular file: opening a FIFO would hang.
func readRegular(path string) ([]byte, error) { return readBounded(path, maxSmall) }

func readBounded(path string, most int64) ([]byte, error) {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case info.Size() > most:
		return nil, fmt.Errorf("%s has %d bytes, which is too large", path, info.Size())
	}
	return os.ReadFile(path)
}

const (
	// reserveSize is enough for some launches: each takes a directory and a few small files.
	reserveSize = 256 << 10
	// launchRoom is enough for one, without its output: that stays in the memory of the shim.
	launchRoom = 128 << 10
	// launchTime is how long a released reserve is left to the launch that it was released for.
	launchTime = 30 * time.Second
)

// ErrReleased is the error of Reserve while a launch uses the room of the reserve.
var ErrReleased = errors.New("a launch uses the disk space that is reserved")

// Reserve makes sure that the reserve exists. An error means that there is no room for it, and for a launch besides
// it, or ErrReleased; then it is tried again by itself. The journal continues after a full disk only when there is a
// reserve again: it would take the room.
func (s *Store) Reserve() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.reserve()
	if err != nil {
		s.renewLater()
	}
	return err
}

// renewLater tries to make the reserve again when a launch has had its time; mu is held.
func (s *Store) renewLater() {
	switch {
	case s.closed:
	case s.renewal == nil:
		s.renewal = time.AfterFunc(launchTime, func() { _ = s.Reserve() })
	default:
		s.renewal.Reset(launchTime)
	}
}

func (s *Store) reserve() error {
	path := filepath.Join(s.dir, reserveFile)
	if info, err := os.Stat(path); err == nil && info.Size() == reserveSize {
		return nil
	}
	if !s.released.IsZero() && time.Since(s.released) < launchTime {
		return ErrReleased
	}
	if err := s.try(reserveSize + launchRoom); err != nil {
		return err
	}
	return writeFile(path, noise(reserveSize))
}

// try reports whether the disk takes so many bytes, by writing them. A file system's own figures do not know quotas.
func (s *Store) try(size int) error {
	path := filepath.Join(s.dir, tryFile)
	err := os.WriteFile(path, noise(size), 0o600) // not synced: it need not reach the disk
	return errors.Join(err, os.Remove(path))
}

// noise returns random bytes: a file system could store zeros without taking space.
func noise(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.Read(b) // never fails
	return b
}

const (
	reserveFile = "reserve"
	tryFile     = "reserve.try" // exists for a moment; a killed host may leave it
)

// release removes the reserve; false when there was none.
func (s *Store) release() bool {
	if os.Remove(filepath.Join(s.dir, reserveFile)) != nil {
		return false
	}
	s.released = time.Now()
	s.renewLater()
	return true
}
