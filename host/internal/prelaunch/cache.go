// Package prelaunch remembers which work before a launch was done and need not be done again (B330): as long as its
// inputs have not changed since it last succeeded. When in doubt, the work is done.
package prelaunch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gatehost/gatehost/internal/atomicfile"
	"github.com/gatehost/gatehost/internal/foreignfile"
)

// schema is the version of the file; with another version nothing is known (T158).
const schema = 1

// Bounds of what a key reads; beyond them there is no key, and the work is done each time.
const (
	maxFiles = 10_000
	maxBytes = 256 << 20
	maxFile  = 1 << 20 // of the cache itself
)

// Task is one piece of work.
type Task struct {
	Name   string   // unique among the tasks of one cache
	Words  []string // what is done: other words are other work
	Inputs []string // files and directories that it reads
	Run    func() error
}

// Cache remembers one gateway's tasks, in a file. For one goroutine: a gateway has one start at a time.
type Cache struct{ path string }

// New makes a cache in a file, which need not exist.
func New(path string) *Cache { return &Cache{path: path} }

type content struct {
	Schema int               `json:"schema"`
	Keys   map[string]string `json:"keys"` // by a hash of the task's name, which may hold anything
}

// Do runs a task, unless it succeeded before and its inputs are as they were then. The error is the task's; remark
// says why the cache could not know or remember, and changes nothing. The key is computed after the task, since the
// task may change its own inputs (T155).
func (c *Cache) Do(t Task) (ran bool, remark, err error) {
	known, remark := c.read()
	sum := sha256.Sum256([]byte(t.Name))
	name := hex.EncodeToString(sum[:8])
	before, keyErr := key(t)
	if keyErr == nil && known.Keys[name] == before {
		return false, remark, nil
	}
	if err := t.Run(); err != nil { // it had succeeded and now failed: it is due again (T156)
		if _, had := known.Keys[name]; had {
			delete(known.Keys, name)
			remark = errors.Join(remark, c.write(known))
		}
		return true, remark, err
	}
	after, keyErr := key(t)
	if keyErr != nil {
		return true, errors.Join(remark, keyErr), nil
	}
	known.Keys[name] = after
	return true, errors.Join(remark, c.write(known)), nil
}

// read returns what is known; nothing when the file does not exist, has another schema, or cannot be understood
// (T158, T159).
func (c *Cache) read() (content, error) {
	none := content{Schema: schema, Keys: map[string]string{}}
	info, err := os.Stat(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	var data []byte
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxFile) {
		err = errors.New("it is not a file of at most 1 MiB")
	}
	if err == nil {
		data, err = os.ReadFile(c.path)
	}
	var got content
	if err == nil {
		err = json.Unmarshal(data, &got)
	}
	switch {
	case err != nil:
		return none, fmt.Errorf("cannot read which hooks have run, so all of them run: %w", err)
	case got.Schema != schema || got.Keys == nil:
		return none, nil
	default:
		return got, nil
	}
}

func (c *Cache) write(what content) error {
	data, err := json.MarshalIndent(what, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot remember which hooks have run: %w", err)
	}
	return atomicfile.Write(c.path, data, 0o600)
}

// key is a hash over the words of a task and all its inputs.
func key(t Task) (string, error) {
	h := sha256.New()
	words, err := json.Marshal([][]string{t.Words, t.Inputs})
	if err != nil {
		return "", err
	}
	h.Write(words)
	b := budget{files: maxFiles, bytes: maxBytes}
	for _, input := range t.Inputs {
		if err := b.add(h, input); err != nil {
			return "", fmt.Errorf("cannot tell whether %s has changed, so its hook runs each time: %w", input, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

type budget struct{ files, bytes int64 }

// add reads a file, or everything below a directory. It follows a link that is named; a link within a directory
// counts by its target. A path that does not exist is a state, too.
func (b *budget) add(h hash.Hash, input string) error {
	info, err := os.Stat(input)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		h.Write([]byte("\x00absent\x00"))
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return b.file(h, input, input, info)
	}
	return filepath.WalkDir(input, func(path string, d fs.DirEntry, err error) error { // in the order of names
		if err != nil {
			return err
		}
		below, err := filepath.Rel(input, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			fmt.Fprintf(h, "\x00link\x00%s\x00%s\x00", below, to)
			return err
		case d.IsDir():
			fmt.Fprintf(h, "\x00directory\x00%s\x00", below)
			return nil
		default:
			return b.file(h, below, path, info)
		}
	})
}

func (b *budget) file(h hash.Hash, name, path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("it is neither a file nor a directory")
	}
	if b.files, b.bytes = b.files-1, b.bytes-info.Size(); b.files < 0 || b.bytes < 0 {
		return fmt.Errorf("there are more than %d files or %d MiB", maxFiles, maxBytes>>20)
	}
	f, _, err := foreignfile.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	fmt.Fprintf(h, "\x00file\x00%s\x00%o\x00%d\x00", name, info.Mode().Perm(), info.Size())
	n, err := io.Copy(h, io.LimitReader(f, info.Size()+1))
	if err == nil && n != info.Size() {
		err = errors.New("it changes while it is read")
	}
	return err
}
