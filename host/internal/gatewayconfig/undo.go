package gatewayconfig

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gatehost/gatehost/internal/atomicfile"
	"github.com/gatehost/gatehost/internal/json5"
	"github.com/gatehost/gatehost/shared/fault"
)

// record is what undo needs: the file before and after an edit. It holds secrets.
type record struct {
	Version int       `json:"version"`
	ID      string    `json:"id"`
	Time    time.Time `json:"time"`
	By      string    `json:"by"`
	Path    string    `json:"path"`
	Before  *content  `json:"before"`
	After   *content  `json:"after,omitempty"` // absent: the edit was cut off
	// Wanted is what an edit of the file was to leave, as long as it is not known whether it did.
	Wanted *content `json:"wanted,omitempty"`
	Undone bool     `json:"undone,omitempty"`
}

type content struct {
	Exists bool   `json:"exists"`
	Data   []byte `json:"data,omitempty"`
}

const (
	recordVersion = 1
	idLayout      = "20060102T150405.000000000Z"
)

var recordName = regexp.MustCompile(`^([0-9]{8}T[0-9]{6}\.[0-9]{9}Z-[0-9a-z]{4})\.json$`)

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// next returns a time for an id after all others: edits are in the order in which they were made, also when the
// clock was set back.
func (e *Editor) next(now time.Time) time.Time {
	ids, err := e.ids()
	if err != nil || len(ids) == 0 {
		return now
	}
	newest, err := time.Parse(idLayout, ids[len(ids)-1][:len(idLayout)])
	if err != nil || now.After(newest) {
		return now
	}
	return newest.Add(1)
}

// begin stores the present file; it is on disk when begin returns. It removes the oldest records.
func (e *Editor) begin(rec record, before file) (record, error) {
	rec.Version, rec.Time, rec.Path = recordVersion, e.o.Now().UTC(), before.path
	rec.ID = e.next(rec.Time).Format(idLayout) + "-" + strings.ToLower(rand.Text()[:4])
	rec.Before = &content{Exists: before.exists, Data: before.data}
	if err := os.MkdirAll(e.o.Dir, 0o700); err != nil {
		return record{}, fmt.Errorf("cannot keep a copy of %s: %w", before.path, err)
	}
	if err := e.save(rec); err != nil {
		return record{}, fmt.Errorf("cannot keep a copy of %s: %w", before.path, err)
	}
	ids, err := e.ids()
	for err == nil && len(ids) > e.o.Keep {
		_ = os.Remove(e.file(ids[0])) // it costs disk space only
		ids = ids[1:]
	}
	return rec, nil
}

// finish records what the edit left.
func (e *Editor) finish(rec record) error {
	after, err := readFile(rec.Path)
	if err == nil {
		rec.After, rec.Wanted = &content{Exists: after.exists, Data: after.data}, nil
		err = e.save(rec)
	}
	if err != nil {
		return fmt.Errorf("the configuration was changed, but the change cannot be recorded for undo: %w", err)
	}
	return nil
}

// drop removes the record of an edit that changed nothing.
func (e *Editor) drop(rec record) {
	if rec.ID != "" {
		_ = os.Remove(e.file(rec.ID))
	}
}

// Recover completes an edit of a file that the end of an earlier host cut off in the middle of writing in place. A file
// that another program has written since is left alone. Call it before the gateway is launched.
func (e *Editor) Recover(path string) error {
	ids, err := e.ids()
	if err != nil || len(ids) == 0 {
		return err
	}
	data, err := os.ReadFile(e.file(ids[len(ids)-1]))
	if err != nil {
		return err
	}
	var rec record
	if json.Unmarshal(data, &rec) != nil || rec.Version != recordVersion || rec.Before == nil || rec.Wanted == nil ||
		!rec.Time.Before(e.since) { // an edit of this host may be under way
		return nil //nolint:nilerr // undo says what is wrong with a record
	}
	now, err := readFile(path)
	if err != nil || now.path != rec.Path {
		return err
	}
	switch {
	case now.exists && bytes.Equal(now.data, rec.Wanted.Data):
		return e.finish(rec)
	case now.exists && mixed(now.data, rec.Before.Data, rec.Wanted.Data):
		if err := atomicfile.Update(now.path, rec.Wanted.Data); err != nil {
			return err
		}
		return e.finish(rec)
	}
	rec.Wanted = nil // nothing was written, or another program wrote since
	return e.save(rec)
}

// mixed reports whether each byte is one of the old content or of the new one: then a write of the new one over the old
// one stopped in the middle.
func mixed(now, old, wanted []byte) bool {
	if bytes.Equal(now, old) || len(now) != max(len(old), len(wanted)) {
		return false
	}
	for i, c := range now {
		if (i >= len(old) || c != old[i]) && (i >= len(wanted) || c != wanted[i]) {
			return false
		}
	}
	return true
}

func (e *Editor) file(id string) string { return filepath.Join(e.o.Dir, id+".json") }

func (e *Editor) save(rec record) error {
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return atomicfile.Replace(e.file(rec.ID), data)
}

// ids lists the ids of the records, oldest first.
func (e *Editor) ids() ([]string, error) {
	entries, err := os.ReadDir(e.o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, entry := range entries {
		if m := recordName.FindStringSubmatch(entry.Name()); m != nil {
			out = append(out, m[1])
		}
	}
	slices.Sort(out)
	return out, err
}

// last returns the newest edit that can be undone.
func (e *Editor) last() (record, error) {
	ids, err := e.ids()
	if err != nil {
		return record{}, fmt.Errorf("cannot list the edits: %w", err)
	}
	for _, id := range slices.Backward(ids) {
		data, err := os.ReadFile(e.file(id))
		var rec record
		if err == nil {
			err = json.Unmarshal(data, &rec)
		}
		switch {
		case err != nil || rec.Version != recordVersion || rec.Before == nil:
			return rec, fault.Wrap(fault.FailedPrecondition, "cannot read the record of the last edit "+e.file(id),
				err).
				WithHint("check the record; when you move it away, the edit before it can be undone")
		case rec.After != nil && !rec.Undone:
			return rec, nil
		}
	}
	return record{}, fault.New(fault.NotFound, "there is no edit to undo")
}

// Undo reverts the last edit that this host made and has not undone. When the gateway does not run and its file was
// not touched since, the file is restored byte for byte; else the values that the edit changed are set back, and
// others stay. A value that was changed since is a fault.Conflict, unless forced. Errors: as Edit, and
// fault.NotFound.
func (e *Editor) Undo(ctx context.Context, how How, force bool) (Result, error) {
	leave, err := e.enter(ctx)
	if err != nil {
		return Result{}, err
	}
	defer leave()
	rec, err := e.last()
	if err != nil {
		return Result{}, err
	}
	r, done, err := e.restore(ctx, rec)
	if err == nil && !done {
		var back Mutator
		if back, err = e.wayBack(rec, force); err == nil {
			r, err = e.edit(ctx, how, back, false)
		}
	}
	if err != nil {
		return Result{}, err
	}
	r.Copy, rec.Undone = rec.ID, true
	if err := e.save(rec); err != nil {
		return r, fmt.Errorf("undone, but the undo cannot be recorded: %w", err)
	}
	return r, nil
}

// restore writes the file as it was, when it was not changed otherwise.
func (e *Editor) restore(ctx context.Context, rec record) (Result, bool, error) {
	where, err := e.settled(ctx)
	if err != nil || where != Offline {
		return Result{}, false, err
	}
	now, err := readFile(rec.Path)
	if err != nil {
		return Result{}, false, err
	}
	if now.sum() != (file{exists: rec.After.Exists, data: rec.After.Data}).sum() {
		return Result{}, false, nil
	}
	before, after, err := rec.values()
	if err != nil {
		return Result{}, false, err
	}
	no := false
	r := Result{By: ByFile, Path: rec.Path, Changes: shown(diff(after, before)), RequiresRestart: &no}
	if rec.Before.Exists {
		_, err = e.replace(ctx, How{}, now, rec.Before.Data, false)
	} else {
		err = os.Remove(now.path)
	}
	if errors.Is(err, errSwitched) || errors.Is(err, errConflict) {
		return Result{}, false, nil // the other way handles both
	}
	return r, true, err
}

func (r record) values() (before, after map[string]any, err error) {
	_, before, err = file{path: "the copy", exists: r.Before.Exists, data: r.Before.Data}.parse()
	if err == nil {
		_, after, err = file{path: "the copy", exists: r.After.Exists, data: r.After.Data}.parse()
	}
	return before, after, err
}

// wayBack sets the values back that an edit changed, after a check that they are still what the edit made of them.
// The check reads the file: a running gateway hides its secrets.
func (e *Editor) wayBack(rec record, force bool) (Mutator, error) {
	before, after, err := rec.values()
	if err != nil {
		return nil, err
	}
	deltas := diff(after, before)
	deltas = slices.DeleteFunc(deltas, func(c delta) bool { return c.Path[0] == "meta" }) // the gateway's own notes
	return func(_ context.Context, config map[string]any) error {
		now, err := readFile(rec.Path)
		if err != nil {
			return err
		}
		_, current, err := now.parse()
		if err != nil {
			return err
		}
		for _, c := range deltas {
			if err := untouched(c.Path, after, current); err != nil && !force {
				return err
			}
			if err := put(config, c.Path, c.wanted, c.Removed); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func untouched(path json5.Path, left, now map[string]any) error {
	a, was := Lookup(left, path)
	b, is := Lookup(now, path)
	if was == is && equal(a, b) {
		return nil
	}
	return fault.New(fault.Conflict, fmt.Sprintf("cannot undo: %s was changed since", path)).
		WithHint("check with `gatehost gateway-config NAME get`, then add --force")
}
