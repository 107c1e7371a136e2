package repair

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/gatehost/gatehost/internal/atomicfile"
	"github.com/gatehost/gatehost/shared/fault"
)

// Records lists the stored repairs and undos, newest first. It skips those that cannot be read.
func (e *Executor) Records() ([]Record, error) {
	ids, err := e.records.ids()
	if err != nil {
		return nil, err
	}
	var out []Record
	for _, id := range slices.Backward(ids) {
		if rec, err := e.records.load(id); err == nil {
			out = append(out, rec)
		}
	}
	return out, nil
}

// Recover records repairs that were cut off by the end of their host, and removes what they had not finished
// writing. Every file is the old one or the new one then, but for one that had to be written in place: undo has its old
// content. Call it before the first repair, while no other host uses
// the directory.
func (e *Executor) Recover() error {
	records, err := e.Records()
	if err != nil {
		return err
	}
	for _, rec := range records {
		if rec.Outcome != OutcomeRunning {
			continue
		}
		for _, f := range rec.Files {
			atomicfile.Sweep(filepath.Dir(f.Path))
		}
		atomicfile.Sweep(filepath.Join(e.records.dir, rec.ID))
		// what the files are now says nothing: the command may outlive the host by some seconds
		rec.Outcome = OutcomeCut
		if err := e.records.save(rec); err != nil {
			return err
		}
	}
	return nil
}

// Last returns the newest repair that changed something, is not undone, and whose files were not restored by other
// means. Errors: fault.NotFound.
func (e *Executor) Last() (Record, error) {
	records, err := e.Records()
	if err != nil {
		return Record{}, err
	}
	for _, rec := range records {
		if rec.UndoOf == "" && rec.UndoneBy == "" && rec.changed() {
			return rec, nil
		}
	}
	return Record{}, fault.New(fault.NotFound, "there is no repair to undo")
}

// UndoLast undoes the Last one. Errors: as Undo.
func (e *Executor) UndoLast(ctx context.Context, force bool) (Result, error) {
	rec, err := e.Last()
	if err != nil {
		return Result{}, err
	}
	return e.Undo(ctx, rec.ID, force)
}

// PreviewUndo returns the difference that an undo would make; it changes nothing. Errors: as Undo.
func (e *Executor) PreviewUndo(id string, force bool) (string, error) {
	rec, err := e.undoable(id, force)
	if err != nil {
		return "", err
	}
	want, files, err := e.wayBack(rec, force)
	if err != nil {
		return "", err
	}
	var changes []change
	for _, path := range files {
		now, err := read(path)
		if err != nil {
			return "", err
		}
		changes = append(changes, change{path: path, before: now, after: want[path]})
	}
	return e.diff(changes), nil
}

// changed reports whether files may differ from the copies. A repair that was cut off may have changed nothing.
func (r Record) changed() bool {
	return slices.ContainsFunc(r.Files, func(f FileCopy) bool {
		if !f.AfterKnown {
			now, err := read(f.Path)
			return err != nil || now.sum() != f.SHA256
		}
		return f.AfterSHA256 != f.SHA256
	})
}

// Undoable reports whether Undo would restore something that is not there now.
func (r Record) Undoable() bool {
	return slices.ContainsFunc(r.Files, func(f FileCopy) bool {
		now, err := read(f.Path)
		return err == nil && now.sum() != f.SHA256
	})
}

func (e *Executor) undoable(id string, force bool) (Record, error) {
	rec, err := e.records.load(id)
	if err == nil && rec.UndoneBy != "" && !force {
		err = fault.New(fault.FailedPrecondition, fmt.Sprintf("repair %s was already undone, by %s", id, rec.UndoneBy))
	}
	return rec, err
}

// Undo restores the files of a repair, bytes and mode, and removes those that it made. It first backs up the
// present files, as a record of its own: an undo can be undone by its id. A file that was changed since is an
// error, unless forced; then nothing is touched. Errors: fault.NotFound, fault.InvalidArgument, fault.Conflict (a
// repair runs, or a file was changed since), fault.FailedPrecondition (already undone).
func (e *Executor) Undo(ctx context.Context, id string, force bool) (Result, error) {
	if !e.busy.TryLock() {
		return Result{}, fault.New(fault.Conflict, "cannot undo: a repair of this gateway is running")
	}
	defer e.busy.Unlock()
	rec, err := e.undoable(id, force)
	if err != nil {
		return Result{}, err
	}
	want, files, err := e.wayBack(rec, force)
	if err != nil {
		return Result{}, err
	}
	if ctx.Err() != nil { // last chance: from here on it cannot be cancelled; it takes milliseconds
		return Result{}, context.Cause(ctx)
	}
	undo := Record{Gateway: rec.Gateway, Title: "undo of " + id, UndoOf: id, Time: e.o.Now()}
	own, before, err := e.records.begin(undo, files)
	if err != nil {
		return Result{}, err
	}
	var failure error
	for _, path := range files {
		snap := want[path]
		if snap.exists {
			if snap.owner = before[path].owner; !before[path].exists {
				snap.owner = atomicfile.OwnerOfDir(filepath.Dir(path))
			}
		}
		if failure = snap.restore(path); failure != nil {
			break
		}
	}
	res, failure := e.conclude(context.WithoutCancel(ctx), own, before, failure)
	if failure != nil {
		return res, failure
	}
	rec.UndoneBy = own.ID
	// The record itself may just have been pruned.
	if err := e.records.save(rec); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return res, fmt.Errorf("undone, but cannot record it: %w", err)
	}
	return res, nil
}

// wayBack computes what each file has to become.
func (e *Executor) wayBack(rec Record, force bool) (map[string]snapshot, []string, error) {
	want := map[string]snapshot{}
	var files []string
	for _, f := range rec.Files {
		// The record is in a directory of the host, but what it names must still be what a doctor may touch.
		if got, err := e.scope().path(f.Path); err != nil || got != f.Path {
			return nil, nil, fault.Wrap(fault.InvalidArgument,
				fmt.Sprintf("cannot undo: %s is no longer a file of this gateway", f.Path), err)
		}
		snap, err := e.records.copyOf(rec, f)
		if err != nil {
			return nil, nil, err
		}
		now, err := read(f.Path)
		if err != nil {
			return nil, nil, err
		}
		if !force && (!f.AfterKnown || now.sum() != f.AfterSHA256) {
			return nil, nil, fault.New(fault.Conflict,
				fmt.Sprintf("cannot undo: %s was changed since the repair", f.Path)).
				WithHint("to undo it nevertheless, name it: `gatehost doctor " + rec.Gateway + " --undo " + rec.ID +
					"`; the present file is backed up first")
		}
		want[f.Path] = snap
		files = append(files, f.Path)
	}
	return want, files, nil
}
