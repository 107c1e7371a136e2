package repair

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

	"github.com/gatehost/gatehost/internal/atomicfile"
	"github.com/gatehost/gatehost/shared/fault"
)

// Bounds of what is kept of one gateway.
const (
	keptVersions = 10
	keptBytes    = 16 << 20
)

const (
	keptContent = "config"
	unfinished  = ".new-" // a version whose host was killed before it was complete
)

// Good keeps the configurations with which a gateway came to run: the way back when the present one is broken in a
// way that no doctor mends. Several versions, each content once, bounded in number and bytes, readable by their owner
// only: they hold secrets. A version appears on disk in one step. Safe for concurrent use.
type Good struct {
	dir string
	now func() time.Time

	mu sync.Mutex // guards the files
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

// NewGood keeps what belongs to a gateway below dir; it touches nothing yet. now may be nil: time.Now.
func NewGood(dir, gateway string, now func() time.Time) (*Good, error) {
	if !filepath.IsAbs(dir) || !gatewayName.MatchString(gateway) {
		return nil, fmt.Errorf("cannot keep configurations of gateway %q in %q: bad name or relative directory",
			gateway, dir)
	}
	if now == nil {
		now = time.Now
	}
	return &Good{dir: filepath.Join(dir, gateway), now: now}, nil
}

// FileState is a configuration file at one moment: enough to say later whether it has changed. The zero value is a
// file that is not there.
type FileState struct {
	Path   string // links resolved
	Exists bool
	SHA256 string
	data   []byte
}

// StateOf reads a configuration file. Errors: it is no regular file, too large, or cannot be read.
func StateOf(path string) (FileState, error) {
	real, err := resolve(path)
	if err != nil {
		return FileState{}, err
	}
	snap, err := read(real)
	if err != nil {
		return FileState{}, err
	}
	if len(snap.data) > maxContent {
		return FileState{}, fault.New(fault.Exhausted,
			fmt.Sprintf("cannot keep %s: it is larger than %d bytes", path, maxContent))
	}
	return FileState{Path: real, Exists: snap.exists, SHA256: snap.sum(), data: snap.data}, nil
}

// Same reports whether two looks saw the same file with the same content.
func (l FileState) Same(o FileState) bool {
	return l.Path == o.Path && l.Exists == o.Exists && l.SHA256 == o.SHA256
}

// Keep keeps what was seen; added is false when it was kept already and is only the newest again.
func (g *Good) Keep(l FileState) (k Version, added bool, err error) {
	if !l.Exists || len(l.data) == 0 {
		return Version{}, false, fault.New(fault.InvalidArgument, "cannot keep a configuration: there is none")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now().UTC()
	// the clock was set back: what runs now ran last all the same
	if kept := g.list(""); len(kept) > 0 && !now.After(kept[0].Last) {
		now = kept[0].Last.Add(time.Millisecond)
	}
	for _, k := range g.list(l.Path) {
		if k.SHA256 != l.SHA256 {
			continue
		}
		if _, err := g.content(k); err != nil {
			break // damaged: a sound one is made beside it
		}
		k.Last = now
		return k, false, g.note(filepath.Join(g.dir, k.ID), k)
	}
	id, err := newID(now)
	if err != nil {
		return Version{}, false, err
	}
	k = Version{
		Version: manifestVersion, ID: id, Path: l.Path, SHA256: l.SHA256, Bytes: len(l.data), First: now,
		Last: now,
	}
	if err := g.add(k, l.data); err != nil {
		return Version{}, false, fmt.Errorf("cannot keep the configuration: %w", err)
	}
	g.prune(id)
	return k, true, nil
}

func (g *Good) add(k Version, data []byte) (err error) {
	if err := os.MkdirAll(g.dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(g.dir, unfinished)
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
	if err = g.note(tmp, k); err != nil {
		return err
	}
	if err = os.Rename(tmp, filepath.Join(g.dir, k.ID)); err != nil {
		return err
	}
	return atomicfile.SyncDir(g.dir)
}

func (g *Good) note(dir string, k Version) error {
	data, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, manifestName), append(data, '\n'), 0o600)
}

// List is the versions of a configuration file, the one that ran last first; those that cannot be read are left out.
// path "": of every file that the gateway ever had.
func (g *Good) List(path string) []Version {
	if path != "" {
		if real, err := resolve(path); err == nil {
			path = real
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.list(path)
}

func (g *Good) list(path string) []Version {
	entries, _ := os.ReadDir(g.dir) // there is none before the first version
	var out []Version
	for _, e := range entries {
		if !e.IsDir() || !idPattern.MatchString(e.Name()) {
			continue
		}
		k, err := g.manifest(e.Name())
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

func (g *Good) manifest(id string) (k Version, err error) {
	err = readManifest(filepath.Join(g.dir, id, manifestName), &k)
	if err == nil && (k.Version != manifestVersion || k.ID != id) {
		err = fmt.Errorf("version %d, id %q", k.Version, k.ID)
	}
	return k, err
}

// Content is what a version holds, proved by its checksum.
func (g *Good) Content(k Version) ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.content(k)
}

func (g *Good) content(k Version) ([]byte, error) {
	if !idPattern.MatchString(k.ID) {
		return nil, fault.New(fault.InvalidArgument,
			fmt.Sprintf("%q is not the id of a kept configuration", bounded(k.ID, 80)))
	}
	snap, err := read(filepath.Join(g.dir, k.ID, keptContent))
	switch {
	case err != nil:
		return nil, err
	case !snap.exists || snap.sum() != k.SHA256:
		return nil, fault.New(fault.Internal,
			fmt.Sprintf("cannot use the kept configuration %s: it was changed since", k.ID))
	}
	return snap.data, nil
}

// prune forgets the versions that ran longest ago, beyond the bounds, but never keep; and what a killed host left
// unfinished. A failure costs disk space only.
func (g *Good) prune(keep string) {
	entries, err := os.ReadDir(g.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		// of nobody alive: one host has this directory, and this holds its lock
		if strings.HasPrefix(e.Name(), unfinished) {
			_ = os.RemoveAll(filepath.Join(g.dir, e.Name()))
		}
	}
	bytes := 0
	for i, k := range g.list("") {
		bytes += k.Bytes
		if (i >= keptVersions || bytes > keptBytes) && k.ID != keep {
			_ = os.RemoveAll(filepath.Join(g.dir, k.ID))
		}
	}
	known := g.list("")
	for _, e := range entries { // damaged ones count for nothing and must not pile up either
		if idPattern.MatchString(e.Name()) &&
			!slices.ContainsFunc(known, func(k Version) bool { return k.ID == e.Name() }) {
			g.forgetOld(e)
		}
	}
}

// forgetOld removes a version that cannot be read once nobody will look into it any more.
func (g *Good) forgetOld(e fs.DirEntry) {
	if info, err := e.Info(); err == nil && g.now().Sub(info.ModTime()) > 30*24*time.Hour {
		_ = os.RemoveAll(filepath.Join(g.dir, e.Name()))
	}
}
