package doctors

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/gatehost/gatehost/internal/atomicfile"
)

// maxHeld bounds the file of held findings.
const maxHeld = 64 << 10

// held remembers the findings whose automatic repair is off, with the repair that a person undid: what a person has
// undone is not done again by the host until a person acts. The file keeps it over a restart of the host.
type held struct{ path string }

func heldIn(repairDir, gateway string) held {
	return held{path: filepath.Join(repairDir, gateway, "held.json")}
}

// all returns the held findings and the repairs that were undone.
func (h held) all() (map[string]string, error) {
	info, err := os.Lstat(h.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > maxHeld:
		return nil, errors.New(h.path + " is not a file that the host wrote")
	}
	data, err := os.ReadFile(h.path)
	if err != nil {
		return nil, err
	}
	var out map[string]string
	return out, json.Unmarshal(data, &out)
}

// add turns automatic repair off for a finding.
func (h held) add(finding, repair string) error {
	now, err := h.all()
	if err != nil || now == nil {
		now = map[string]string{} // a file that cannot be read is written anew
	}
	now = maps.Clone(now)
	now[finding] = repair
	data, err := json.Marshal(now)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(h.path), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(h.path, data, 0o600)
}

// clear turns automatic repair on again.
func (h held) clear() error {
	if err := os.Remove(h.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
