package repair

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ReplaceFile puts new content at path in one step, with mode 0600: by a temporary file in the same directory, made exclusively, synced,
// and renamed. It keeps the owner of the file; a new one belongs to whom the directory does. Links are not followed.
func ReplaceFile(path string, data []byte) error {
	who := ownerOfDir(filepath.Dir(path))
	switch info, err := os.Lstat(path); {
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("cannot write %s: it is not a regular file", path)
	case err == nil:
		who = ownerOf(info)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return replace(path, data, 0o600, who)
}
