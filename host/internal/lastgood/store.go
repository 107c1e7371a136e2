package lastgood

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/internal/atomicfile"
	"github.com/gatehost/gatehost/shared/fault"
)

// Bounds of what is kept of one gateway.
const (
	keptVersions = 10
	keptBytes    = 16 << 20
)

const (
	keptContent     = "config"
	manifestName    = "manifest.json"
	manifestVersion = 1
	unfinished      = ".new-" // a version whose host was killed before it was complete
)

// Store keeps the configurations with which a gateway came to run: the way back when the present one is broken in a way that no doctor
// repairs. Several versions, each content once, bounded in number and bytes, readable by their owner only: they hold secrets. A version
// appears on disk in one step. Safe for concurrent use.
type Store struct {
	dir string
	now func() time.Time

	mu sync.Mutex // guards the files: the watcher keeps versions while doctors list and read them
}

// Version is a configuration that was kept.
type Version struct {
	Version int       `json:"version"`
	ID      string    `json:"id"`
	Path    string    `json:"path"` // links resolved
	SHA256  string    `json:"sha256"`
	Bytes   int       `json:"bytes"`
	First   time.Time `json:"first"` // when it was first seen to run
	Last    time.Time `json:"last"`  // and last; never before that of an earlier one, whatever the clock says
}

// NewStore keeps what belongs to a gateway below dir; it touches nothing yet. now may be nil: time.Now.
func NewStore(dir, gateway string, now func() time.Time) (*Store, error) {
	if !filepath.IsAbs(dir) || !repair.ValidGateway(gateway) {
		return nil, fmt.Errorf("cannot keep configurations of gateway %q in %q: bad name or relative directory", gateway, dir)
	}
	if now == nil {
		now = time.Now
	}
	return &Store{dir: filepath.Join(dir, gateway), now: now}, nil
}

// Keep keeps what was seen; added is false when it was kept already and is only the newest again.
func (s *Store) Keep(f repair.FileState) (k Version, added bool, err error) {
	if !f.Exists || len(f.Data()) == 0 {
		return Version{}, false, fault.New(fault.InvalidArgument, "cannot keep a configuration: there is none")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now().UTC()
	if kept := s.list(""); len(kept) > 0 && !now.After(kept[0].Last) { // the clock was set back: what runs now ran last all the same
		now = kept[0].Last.Add(time.Millisecond)
	}
	for _, k := range s.list(f.Path) {
		if k.SHA256 != f.SHA256 {
			continue
		}
		if _, err := s.content(k); err != nil {
			break // damaged: a sound one is made beside it
		}
		k.Last = now
		return k, false, s.note(filepath.Join(s.dir, k.ID), k)
	}
	id, err := repair.NewID(now)
	if err != nil {
		return Version{}, false, err
	}
	k = Version{Version: manifestVersion, ID: id, Path: f.Path, SHA256: f.SHA256, Bytes: len(f.Data()), First: now, Last: now}
	if err := s.add(k, f.Data()); err != nil {
		return Version{}, false, fmt.Errorf("cannot keep the configuration: %w", err)
	}
	s.prune(id)
	return k, true, nil
}

func (s *Store) add(k Version, data []byte) (err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(s.dir, unfinished)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(tmp)
		}
	}()
	if err = atomicfile.Write(filepath.Join(tmp, keptContent), data, 0o600); err != nil {
		return err
	}
	if err = s.note(tmp, k); err != nil {
		return err
	}
	if err = os.Rename(tmp, filepath.Join(s.dir, k.ID)); err != nil {
		return err
	}
	return atomicfile.SyncDir(s.dir)
}

func (s *Store) note(dir string, k Version) error {
	data, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, manifestName), append(data, '\n'), 0o600)
}

// List is the versions of a configuration file, the one that ran last first; those that cannot be read are left out. path "": of every
// file that the gateway ever had.
func (s *Store) List(path string) []Version {
	if path != "" {
		if real, err := repair.Resolve(path); err == nil {
			path = real
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list(path)
}

func (s *Store) list(path string) []Version {
	entries, _ := os.ReadDir(s.dir) // there is none before the first version
	var out []Version
	for _, e := range entries {
		if !e.IsDir() || !repair.ValidID(e.Name()) {
			continue
		}
		k, err := s.manifest(e.Name())
		if err == nil && (path == "" || k.Path == path) {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b Version) int {
		if c := b.Last.Compare(a.Last); c != 0 {
			return c
		}
		return strings.Compare(b.ID, a.ID)
	})
	return out
}

func (s *Store) manifest(id string) (k Version, err error) {
	err = repair.ReadManifest(filepath.Join(s.dir, id, manifestName), &k)
	if err == nil && (k.Version != manifestVersion || k.ID != id) {
		err = fmt.Errorf("version %d, id %q", k.Version, k.ID)
	}
	return k, err
}

// Content is what a version holds, proved by its checksum.
func (s *Store) Content(k Version) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.content(k)
}

func (s *Store) content(k Version) ([]byte, error) {
	if !repair.ValidID(k.ID) {
		return nil, fault.New(fault.InvalidArgument, fmt.Sprintf("%.80q is not the id of a kept configuration", k.ID))
	}
	f, err := repair.StateOf(filepath.Join(s.dir, k.ID, keptContent))
	switch {
	case err != nil:
		return nil, err
	case !f.Exists || f.SHA256 != k.SHA256:
		return nil, fault.New(fault.Internal, fmt.Sprintf("cannot use the kept configuration %s: it was changed since", k.ID))
	}
	return f.Data(), nil
}

// prune forgets the versions that ran longest ago, beyond the bounds, but never keep; and what a killed host left unfinished. A failure
// costs disk space only.
func (s *Store) prune(keep string) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), unfinished) { // of no host alive: one host has this directory, and this holds its lock
			_ = os.RemoveAll(filepath.Join(s.dir, e.Name()))
		}
	}
	bytes := 0
	for i, k := range s.list("") {
		bytes += k.Bytes
		if (i >= keptVersions || bytes > keptBytes) && k.ID != keep {
			_ = os.RemoveAll(filepath.Join(s.dir, k.ID))
		}
	}
	known := s.list("")
	for _, e := range entries { // damaged ones count for nothing and must not pile up either
		if repair.ValidID(e.Name()) && !slices.ContainsFunc(known, func(k Version) bool { return k.ID == e.Name() }) {
			s.forgetOld(e)
		}
	}
}

// forgetOld removes a version that cannot be read after a month.
func (s *Store) forgetOld(e fs.DirEntry) {
	if info, err := e.Info(); err == nil && s.now().Sub(info.ModTime()) > 30*24*time.Hour {
		_ = os.RemoveAll(filepath.Join(s.dir, e.Name()))
	}
}
