package repair

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/gatehost/gatehost/internal/atomicfile"
	"github.com/gatehost/gatehost/internal/foreignfile"
	"github.com/gatehost/gatehost/shared/fault"
)

const (
	manifestName    = "manifest.json"
	manifestVersion = 1
	maxManifest     = 1 << 20
	idLayout        = "20060102T150405.000Z"
)

// Outcome is how a repair, or an undo, ended.
type Outcome string

// The outcomes.
const (
	OutcomeRunning   Outcome = "running"
	OutcomeDone      Outcome = "done"
	OutcomeFailed    Outcome = "failed"    // rolled back
	OutcomeCancelled Outcome = "cancelled" // rolled back
	OutcomeUnknown   Outcome = "unknown"   // the launcher plugin died in the middle: not rolled back
	OutcomeCut       Outcome = "cut-off"   // the host died in the middle: each file is the old one or the new one
)

// Record is a backup and what it was made for, as stored in manifest.json.
type Record struct {
	Version  int        `json:"version"`
	ID       string     `json:"id"`
	Gateway  string     `json:"gateway"`
	Title    string     `json:"title"`
	Doctor   string     `json:"doctor,omitempty"`  // the doctor of the plan
	Finding  string     `json:"finding,omitempty"` // the code of the finding that it repaired
	UndoOf   string     `json:"undoOf,omitempty"`  // the record itself is an undo, of that record
	Time     time.Time  `json:"time"`
	Outcome  Outcome    `json:"outcome"`
	UndoneBy string     `json:"undoneBy,omitempty"`
	Files    []FileCopy `json:"files"`
	Aside    []string   `json:"aside,omitempty"` // copies of what was broken, next to its file
}

// FileCopy is one file of a record.
type FileCopy struct {
	Path    string `json:"path"` // links resolved
	Existed bool   `json:"existed"`
	Mode    uint32 `json:"mode,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
	Copy    string `json:"copy,omitempty"` // name next to the manifest
	// AfterSHA256 is the sum of what the repair left; "" with AfterKnown: no file.
	AfterSHA256 string `json:"afterSha256,omitempty"`
	AfterKnown  bool   `json:"afterKnown"`
}

var idPattern = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}\.[0-9]{3}Z-[0-9a-f]{8}$`)

// recordStore stores the records of one gateway.
type recordStore struct {
	dir  string // <state>/repairs/<gateway>
	keep int
}

// ValidID reports whether a text has the form of such an id, so that it can be the name of a directory.
func ValidID(id string) bool { return idPattern.MatchString(id) }

// NewID makes an id of a repair or of a kept configuration: its time and some random digits.
func NewID(now time.Time) (string, error) {
	var b [4]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	return now.UTC().Format(idLayout) + "-" + hex.EncodeToString(b[:]), nil
}

// next returns a time for an id after all others: records are in the order in which they were made, also when the
// clock was set back.
func (s recordStore) next(now time.Time) time.Time {
	ids, err := s.ids()
	if err != nil || len(ids) == 0 {
		return now
	}
	newest, err := time.Parse(idLayout, ids[len(ids)-1][:len(idLayout)])
	if err != nil || now.Sub(newest) >= time.Millisecond {
		return now
	}
	return newest.Add(time.Millisecond)
}

// begin copies files, all of them on disk when it returns, and removes the oldest records.
func (s recordStore) begin(rec Record, files []string) (Record, map[string]snapshot, error) {
	id, err := NewID(s.next(rec.Time))
	if err != nil {
		return rec, nil, err
	}
	rec.Version, rec.ID, rec.Outcome = manifestVersion, id, OutcomeRunning
	dir := filepath.Join(s.dir, id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return rec, nil, fmt.Errorf("cannot back up: %w", err)
	}
	before := map[string]snapshot{}
	for i, path := range files {
		snap, err := read(path)
		if err != nil {
			_ = os.RemoveAll(dir)
			return rec, nil, err
		}
		before[path] = snap
		f := FileCopy{Path: path, Existed: snap.exists, Mode: uint32(snap.mode), SHA256: snap.sum()}
		if snap.exists {
			f.Copy = fmt.Sprintf("file-%03d", i)
			if err := atomicfile.Write(filepath.Join(dir, f.Copy), snap.data, 0o600); err != nil {
				_ = os.RemoveAll(dir)
				return rec, nil, err
			}
		}
		rec.Files = append(rec.Files, f)
	}
	if err := s.save(rec); err != nil {
		_ = os.RemoveAll(dir)
		return rec, nil, err
	}
	if err := atomicfile.SyncDir(s.dir); err != nil {
		return rec, nil, fmt.Errorf("cannot back up: %w", err)
	}
	s.prune()
	return rec, before, nil
}

func (s recordStore) save(rec Record) error {
	data, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(s.dir, rec.ID, manifestName), append(data, '\n'), 0o600)
}

// finish records the outcome and what the files are now.
func (s recordStore) finish(rec Record, outcome Outcome) (Record, error) {
	rec.Outcome = outcome
	for i := range rec.Files {
		f := &rec.Files[i]
		now, err := read(f.Path)
		f.AfterKnown, f.AfterSHA256 = err == nil && outcome != OutcomeUnknown, now.sum()
	}
	return rec, s.save(rec)
}

// ids lists the ids of all records, oldest first.
func (s recordStore) ids() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() && ValidID(e.Name()) {
			out = append(out, e.Name())
		}
	}
	slices.Sort(out)
	return out, nil
}

func (s recordStore) load(id string) (Record, error) {
	var rec Record
	if !ValidID(id) {
		return rec, fault.New(fault.InvalidArgument, fmt.Sprintf("%q is not the id of a repair", bounded(id, 80)))
	}
	err := ReadManifest(filepath.Join(s.dir, id, manifestName), &rec)
	if errors.Is(err, fs.ErrNotExist) {
		return rec, fault.New(fault.NotFound, fmt.Sprintf("there is no repair %s", id))
	}
	if err == nil && (rec.Version != manifestVersion || rec.ID != id) {
		err = fmt.Errorf("version %d, id %q", rec.Version, rec.ID)
	}
	if err != nil {
		return rec, fault.Wrap(fault.Internal, fmt.Sprintf("cannot read the record of repair %s", id), err)
	}
	return rec, nil
}

// ReadManifest reads a small JSON file of the record store. Errors: it is no small regular file, or cannot be parsed.
func ReadManifest(path string, into any) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() > maxManifest {
		return errors.New("it is not a small regular file")
	}
	data, err := foreignfile.Read(path, maxManifest)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// copyOf reads a backup and proves that it is what was backed up.
func (s recordStore) copyOf(rec Record, f FileCopy) (snapshot, error) {
	if !f.Existed {
		return snapshot{}, nil
	}
	if f.Copy != filepath.Base(f.Copy) {
		return snapshot{}, fault.New(fault.Internal, "cannot read a backup: its record names a path")
	}
	snap, err := read(filepath.Join(s.dir, rec.ID, f.Copy))
	if err == nil && snap.sum() != f.SHA256 {
		err = fault.New(fault.Internal, fmt.Sprintf("cannot read the backup of %s: it was changed since", f.Path))
	}
	snap.mode, snap.owner = fs.FileMode(f.Mode).Perm(), atomicfile.Owner{}
	return snap, err
}

// prune removes the oldest records. A failure costs disk space only.
func (s recordStore) prune() {
	ids, err := s.ids()
	if err != nil {
		return
	}
	for len(ids) > s.keep {
		_ = os.RemoveAll(filepath.Join(s.dir, ids[0]))
		ids = ids[1:]
	}
}
