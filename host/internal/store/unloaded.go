package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Unloaded is a platform service that was unloaded for a gateway, and the way back.
type Unloaded struct {
	Version int       `json:"version"`
	Service string    `json:"service"` // its id in its manager
	Manager string    `json:"manager,omitempty"`
	Plugin  string    `json:"plugin,omitempty"` // the unloader; "" in records of older hosts
	Reason  string    `json:"reason,omitempty"`
	Disable string    `json:"disable,omitempty"` // the command with which a person disables it for good
	At      time.Time `json:"at"`
	Undo    []byte    `json:"undo"` // what the unloader needs to restore it
}

// maxUnloaded bounds one record: the undo of the contract in base64, and some text.
const maxUnloaded = 256 << 10

// KeepUnloaded stores a service that was unloaded for a gateway; the newest record of a service counts.
func (s *Store) KeepUnloaded(gateway string, u Unloaded) error {
	dir := s.unloadedDir(gateway)
	if err := privateDir(dir); err != nil {
		return err
	}
	u.Version = 1
	data, err := json.MarshalIndent(u, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode the record of an unloaded service: %w", err)
	}
	return writeFile(filepath.Join(dir, unloadedName(u.Service)), data)
}

// Unloaded returns the services that were unloaded for a gateway and not restored, oldest first. The error names the
// records that cannot be read; the others are returned.
func (s *Store) Unloaded(gateway string) ([]Unloaded, error) {
	entries, err := os.ReadDir(s.unloadedDir(gateway))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list unloaded services: %w", err)
	}
	var out []Unloaded
	var faults []error
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		var u Unloaded
		data, err := readBounded(filepath.Join(s.unloadedDir(gateway), e.Name()), maxUnloaded)
		if err == nil {
			err = json.Unmarshal(data, &u)
		}
		if err != nil || u.Service == "" {
			faults = append(faults, fmt.Errorf("cannot read the record %s of an unloaded service: %w", e.Name(), err))
			continue
		}
		out = append(out, u)
	}
	slices.SortFunc(out, func(a, b Unloaded) int { return a.At.Compare(b.At) })
	return out, errors.Join(faults...)
}

// ForgetUnloaded removes the record of a service that was restored.
func (s *Store) ForgetUnloaded(gateway, service string) error {
	err := os.Remove(filepath.Join(s.unloadedDir(gateway), unloadedName(service)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (s *Store) unloadedDir(gateway string) string {
	return filepath.Join(s.dir, "gateways", gateway, "unloaded")
}

// unloadedName is the name of a record: the id of a service may contain slashes.
func unloadedName(service string) string {
	sum := sha256.Sum256([]byte(service))
	return hex.EncodeToString(sum[:8]) + ".json"
}
