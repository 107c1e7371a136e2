package shimreplay

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// LaunchID is the launch of every recording.
const LaunchID = "5f0c3a52-6d1b-4c5e-9b0a-6c1d2e3f4a5b"

// What the recorded gateway wrote, and how it ended.
const (
	FloodLine  = "abcdefghijklmnop" // FloodLines times; more than is kept
	FloodLines = 30000
	ReadyLine  = "ready"
	LastLine   = "bye" // on standard error, when it was told to end
	ExitCode   = 7
	Gateway    = "main" // label gatehost.gateway, as launchers set it
)

// Times of a recording.
const (
	Running = "running"
	Ended   = "ended"
)

// Recording is what a shim said.
type Recording struct {
	// Hello answers a hello, by time.
	Hello map[string]Frame `json:"hello"`
	// Refusal answers a hello of a client that speaks no version of the shim's.
	Refusal Frame `json:"refusal"`
	// Unknown answers an op that the shim does not know.
	Unknown Frame `json:"unknown"`
	// Answers are all frames after a request, by time and op; "follow" is an output that is followed.
	Answers map[string]map[string][]Frame `json:"answers"`
}

// Frame is one message as it was on the wire.
type Frame struct {
	Header json.RawMessage `json:"header"`
	Data   []byte          `json:"data,omitempty"`
	// After says that it came after the gateway was told to end.
	After bool `json:"after,omitempty"`
}

const conversations = "conversations.json.gz"

// Load reads a recording.
func Load(dir string) (Recording, error) {
	var r Recording
	b, err := unpack(filepath.Join(dir, conversations))
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err == nil && (len(r.Hello) != 2 || len(r.Answers[Running]) == 0 || len(r.Answers[Ended]) == 0) {
		err = errors.New("it is not complete")
	}
	if err != nil {
		return r, fmt.Errorf("cannot load recording %s: %w", dir, err)
	}
	return r, nil
}

func (r Recording) store(dir string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return pack(filepath.Join(dir, conversations), b)
}

func pack(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err == nil {
		_, err = z.Write(b)
		err = errors.Join(err, z.Close())
	}
	return errors.Join(err, f.Close())
}

func unpack(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, 64<<20))
}

// bundleFiles are those that belong to a recording: a lock and a log, the other files of a bundle, are not needed.
func bundleFile(name string) bool {
	return name == "spec.json" || name == "state.json" || name == "exit" || strings.HasPrefix(name, "output-")
}

// keepBundle copies a bundle's files into a recording.
func keepBundle(bundle, to string) error {
	entries, err := os.ReadDir(bundle)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, e := range entries {
		if !bundleFile(e.Name()) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(bundle, e.Name()))
		if err != nil {
			return err
		}
		if err := pack(filepath.Join(to, e.Name()+".gz"), b); err != nil {
			return err
		}
	}
	return nil
}

// restoreBundle puts a recording's files into a bundle; identity gives them the processes of today.
func restoreBundle(from, bundle string, identity func([]byte) ([]byte, error)) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".gz")
		b, err := unpack(filepath.Join(from, e.Name()))
		if err != nil {
			return err
		}
		if name == "state.json" {
			if b, err = identity(b); err != nil {
				return err
			}
		}
		path := filepath.Join(bundle, name)
		if err := os.WriteFile(path+".new", b, fs.FileMode(0o600)); err != nil {
			return err
		}
		if err := os.Rename(path+".new", path); err != nil {
			return err
		}
	}
	return nil
}
