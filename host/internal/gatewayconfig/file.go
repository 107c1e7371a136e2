package gatewayconfig

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/gatehost/gatehost/internal/atomicfile"
	"github.com/gatehost/gatehost/internal/foreignfile"
	"github.com/gatehost/gatehost/internal/json5"
	"github.com/gatehost/gatehost/shared/fault"
)

// maxFile is the largest configuration that is edited; usual ones have a few kilobytes.
const maxFile = 4 << 20

// file is a file as it was read.
type file struct {
	given  string // the path as it was asked for
	path   string // links followed
	exists bool
	data   []byte
}

func (f file) sum() [sha256.Size]byte {
	if !f.exists {
		return [sha256.Size]byte{}
	}
	return sha256.Sum256(f.data)
}

// readFile reads a regular file, or the target of a link. A missing file is no error.
func readFile(path string) (file, error) {
	out := file{given: path, path: filepath.Clean(path)}
	switch real, err := filepath.EvalSymlinks(path); {
	case err == nil:
		out.path = real
	case !errors.Is(err, fs.ErrNotExist):
		return out, cannotRead(path, err)
	default:
		if _, err := os.Lstat(path); err == nil {
			return out, cannotRead(path, errors.New("it is a link to nothing"))
		}
		return out, nil
	}
	data, err := foreignfile.Read(out.path, maxFile)
	switch {
	case errors.Is(err, foreignfile.ErrNotRegular):
		return out, cannotRead(path, errors.New("it is not a regular file"))
	case errors.Is(err, foreignfile.ErrTooLarge):
		return out, cannotRead(path, fmt.Errorf("it is larger than %d bytes", maxFile))
	case err != nil:
		return out, cannotRead(path, err)
	}
	out.exists, out.data = true, data
	return out, nil
}

func cannotRead(path string, err error) error {
	return fault.Wrap(fault.FailedPrecondition, "cannot read "+path,
		err).WithHint("the host must be able to read it: run the host as the gateway's user")
}

// parse reads the configuration in a file; a missing or empty file is an empty configuration.
func (f file) parse() (*json5.Document, map[string]any, error) {
	text := string(f.data)
	if !f.exists || text == "" {
		text = "{}\n"
	}
	doc, err := json5.Parse(text)
	if err == nil {
		if config, ok := doc.Value().(map[string]any); ok {
			return doc, config, nil
		}
		err = errors.New("it is not an object")
	}
	return nil, nil, fault.Wrap(fault.FailedPrecondition, "cannot understand "+f.path, err).
		WithHint("nothing was changed; correct the file, or run `gatehost doctor NAME --repair`")
}

// editFile is one attempt on the file of a gateway that does not run.
func (e *Editor) editFile(ctx context.Context, how How, m Mutator, keep bool) (Result, error) {
	path, err := how.Path, error(nil)
	if path == "" {
		path, err = e.o.Path()
	}
	if err != nil {
		return Result{}, err
	}
	before, err := readFile(path)
	if err != nil {
		return Result{}, err
	}
	doc, config, err := before.parse()
	if err != nil {
		return Result{}, err
	}
	no := false
	r := Result{By: ByFile, Path: before.path, RequiresRestart: &no}
	after, err := e.apply(ctx, &how, m, config)
	if err != nil {
		return Result{}, err
	}
	if _, err := reveal(after, config, nil); err != nil {
		return Result{}, fault.Wrap(fault.InvalidArgument, "", err)
	}
	if err := e.keepsIncluded(ctx, how, m, before, config, after); err != nil {
		return Result{}, err
	}
	if r.Changes = shown(diff(config, after)); len(r.Changes) == 0 {
		return r, nil
	}
	text, err := rewrite(doc, config, after, how)
	if err != nil {
		return Result{}, err
	}
	rec, err := e.replace(ctx, how, before, []byte(text), keep)
	if err != nil && rec.ID == "" { // nothing was written
		return Result{}, err
	}
	r.Copy = rec.ID
	return r, err
}

// keepsIncluded returns an error when an edit would not do what it is to do, because of files that the configuration
// includes.
func (e *Editor) keepsIncluded(
	ctx context.Context, how How, m Mutator, f file, before, after map[string]any,
) error {
	if !includes(before) {
		return nil
	}
	whole, _, err := f.whole(before, e.o.Roots())
	if err != nil {
		return err
	}
	wanted, err := e.apply(ctx, &how, m, whole)
	if err != nil {
		return err
	}
	if _, err := reveal(wanted, whole, nil); err != nil {
		return fault.Wrap(fault.InvalidArgument, "", err)
	}
	return f.keeps(before, after, wanted, e.o.Roots())
}

// replace writes the new content if the file is still what was read and the gateway still does not run.
func (e *Editor) replace(ctx context.Context, how How, before file, data []byte, keep bool) (record, error) {
	rec := record{By: ByFile, Path: before.path, Wanted: &content{Exists: true, Data: data}}
	if keep {
		var err error
		if rec, err = e.begin(rec, before); err != nil {
			return record{}, err
		}
	}
	err := func() error {
		if !how.Launching && e.o.Gateway.Presence() != Offline {
			return errSwitched
		}
		now, err := readFile(before.path)
		switch {
		case err != nil:
			return err
		case now.exists != before.exists || now.sum() != before.sum():
			return errConflict
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		return atomicfile.Update(before.path, data)
	}()
	if err != nil {
		if now, unread := readFile(before.path); unread == nil && now.sum() != before.sum() && rec.ID != "" &&
			!errors.Is(err, errConflict) {
			return record{}, fmt.Errorf("%w (the content before is kept in %s)", err, e.file(rec.ID))
		}
		e.drop(rec)
		return record{}, err
	}
	if rec.ID != "" {
		err = e.finish(rec)
	}
	return rec, err
}

// rewrite edits the text until it means what is wanted. It keeps the comments, or refuses to edit.
func rewrite(doc *json5.Document, before, after map[string]any, how How) (string, error) {
	ed := textEdit{doc: doc}
	if err := ed.object(nil, before, after); err != nil {
		return "", fmt.Errorf("cannot change the configuration: %w", err)
	}
	if !equal(ed.doc.Value(), any(after)) {
		return "", fault.New(fault.Internal, "bug: the edited text does not mean what it should; nothing was changed")
	}
	if lost := missing(doc.Comments(), ed.doc.Comments()); lost > 0 && !how.DropComments {
		return "", fault.New(fault.FailedPrecondition,
			fmt.Sprintf("cannot change the configuration: %d comments are inside the part that would be replaced",
				lost)).
			WithHint("change a smaller part, or add --drop-comments")
	}
	return ed.doc.Text(), nil
}

// missing counts what is in before and not in after.
func missing(before, after []string) int {
	count := map[string]int{}
	for _, c := range after {
		count[c]++
	}
	lost := 0
	for _, c := range before {
		if count[c]--; count[c] < 0 {
			lost++
		}
	}
	return lost
}

// textEdit makes the smallest changes of a text that turn one value into another.
type textEdit struct{ doc *json5.Document }

func (t *textEdit) take(text string, err error) error {
	if err != nil {
		return err
	}
	doc, err := json5.Parse(text)
	if err != nil {
		return fmt.Errorf("bug: the edited text cannot be read: %w", err)
	}
	t.doc = doc
	return nil
}

func (t *textEdit) value(at json5.Path, before, after any) error {
	if equal(before, after) {
		return nil
	}
	if b, ok := before.(map[string]any); ok {
		if a, ok := after.(map[string]any); ok {
			return t.object(at, b, a)
		}
	}
	if b, ok := before.([]any); ok {
		if a, ok := after.([]any); ok {
			return t.list(at, b, a)
		}
	}
	return t.take(t.doc.Set(at, after))
}

func (t *textEdit) object(at json5.Path, before, after map[string]any) error {
	for _, k := range sorted(before) {
		path := append(slices.Clone(at), k)
		var err error
		if a, ok := after[k]; ok {
			err = t.value(path, before[k], a)
		} else {
			err = t.take(t.doc.Delete(path))
		}
		if err != nil {
			return err
		}
	}
	for _, k := range sorted(after) {
		if _, ok := before[k]; !ok {
			if err := t.take(t.doc.Set(append(slices.Clone(at), k), after[k])); err != nil {
				return err
			}
		}
	}
	return nil
}

// list keeps equal elements at both ends, changes those between in place, and removes or inserts the rest.
func (t *textEdit) list(at json5.Path, before, after []any) error {
	head, tail := 0, 0
	for head < min(len(before), len(after)) && equal(before[head], after[head]) {
		head++
	}
	for tail < min(len(before), len(after))-head && equal(before[len(before)-1-tail], after[len(after)-1-tail]) {
		tail++
	}
	b, a := before[head:len(before)-tail], after[head:len(after)-tail]
	both := min(len(a), len(b))
	for i := range both {
		if err := t.value(append(slices.Clone(at), strconv.Itoa(head+i)), b[i], a[i]); err != nil {
			return err
		}
	}
	for i := len(b) - 1; i >= both; i-- {
		if err := t.take(t.doc.Delete(append(slices.Clone(at), strconv.Itoa(head+i)))); err != nil {
			return err
		}
	}
	for i := both; i < len(a); i++ {
		if err := t.take(t.doc.Insert(at, head+i, a[i])); err != nil {
			return err
		}
	}
	return nil
}
