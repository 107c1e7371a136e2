package host

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/store"
)

const (
	hookCacheVersion = 1
	maxHookFiles     = 10_000 // in the inputs of one hook; one with more runs each time
)

// hookCache remembers what the inputs of hooks were after their last success, so that slow work is done only when it has to be (B330).
// It is a file that may be lost, damaged or of another version at any time: the hooks run then.
type hookCache struct{ path string }

type hookRecord struct {
	Version int               `json:"version"`
	Keys    map[string]string `json:"keys"` // by the hook's name
}

// fresh reports whether a hook has nothing to do.
func (c hookCache) fresh(h config.Hook) bool {
	if len(h.Inputs) == 0 {
		return false
	}
	now, err := hookKey(h)
	return err == nil && c.read().Keys[hookName(h)] == now
}

// ended remembers a success by what the inputs are after it, since a hook may change them, and forgets a hook that failed.
func (c hookCache) ended(h config.Hook, ok bool) error {
	if len(h.Inputs) == 0 {
		return nil
	}
	r, name := c.read(), hookName(h)
	key, err := hookKey(h)
	if ok && err == nil {
		r.Keys[name] = key
	} else if _, known := r.Keys[name]; known {
		delete(r.Keys, name)
	} else {
		return nil
	}
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("cannot remember what hooks have done: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return fmt.Errorf("cannot remember what hooks have done: %w", err)
	}
	return store.WriteFile(c.path, data)
}

func (c hookCache) read() hookRecord {
	none := hookRecord{Version: hookCacheVersion, Keys: map[string]string{}}
	data, err := os.ReadFile(c.path)
	if err != nil {
		return none
	}
	var r hookRecord
	if json.Unmarshal(data, &r) != nil || r.Version != hookCacheVersion || r.Keys == nil {
		return none
	}
	return r
}

// hookName tells hooks apart: another command, or other inputs, is another hook.
func hookName(h config.Hook) string {
	data, _ := json.Marshal([][]string{h.Command, h.Inputs}) // strings: never fails
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// hookKey is made of all that the inputs hold: of files their content, of directories the files below. What does not exist is part of
// the key, too; what cannot be read is an error.
func hookKey(h config.Hook) (string, error) {
	sum, files := sha256.New(), 0
	for _, input := range h.Inputs {
		err := filepath.WalkDir(input, func(path string, d fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist) && path == input:
				_, _ = fmt.Fprintf(sum, "%q absent\n", path)
				return nil
			case err != nil:
				return err
			case files > maxHookFiles:
				return fmt.Errorf("%s holds more than %d files", input, maxHookFiles)
			}
			files++
			return hashFile(sum, path, d)
		})
		if err != nil {
			return "", fmt.Errorf("cannot look at what a hook reads: %w", err)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func hashFile(sum io.Writer, path string, d fs.DirEntry) error {
	info, err := os.Stat(path) // what a link leads to is what counts
	if errors.Is(err, fs.ErrNotExist) && d.Type()&fs.ModeSymlink != 0 {
		_, err = fmt.Fprintf(sum, "%q leads nowhere\n", path)
		return err
	}
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(sum, "%q %v %d\n", path, info.Mode(), info.Size()*btoi64(info.Mode().IsRegular())); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(sum, f)
	return err
}

func btoi64(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
