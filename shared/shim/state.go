package shim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/gatehost/gatehost/shared/shim/process"
)

// ProtocolVersion is the newest version of the socket protocol and the bundle that this code speaks.
const ProtocolVersion = 1

// Phase is how far a launch has come, as its shim wrote it last.
type Phase string

// The phases, in their order.
const (
	PhaseStarting Phase = "starting" // the shim exists; with a gateway pid: that process waits to be released
	PhaseRunning  Phase = "running"  // the gateway's program runs
	PhaseEnded    Phase = "ended"    // it has ended; Exit says how
	PhaseFailed   Phase = "failed"   // its program could not be executed; Failure says why
)

// State is the content of state.json, and the answer to the op "state".
type State struct {
	Version   int               `json:"v"` // protocol version of the shim that wrote it
	LaunchID  string            `json:"launch_id"`
	Phase     Phase             `json:"phase"`
	BootID    string            `json:"boot_id"`
	Shim      process.Identity  `json:"shim"`
	Gateway   process.Identity  `json:"gateway"` // pid 0 before there is one
	Socket    string            `json:"socket"`
	Argv      []string          `json:"argv"`
	SpecHash  string            `json:"spec_hash"`
	StartedAt time.Time         `json:"started_at"`
	Failure   *Failure          `json:"failure,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	// Namespace, Machine and Host are the rest of the place whose BootID is above; older shims do not say them.
	Namespace string `json:"pid_namespace,omitempty"`
	Machine   string `json:"machine,omitempty"`
	Host      string `json:"host,omitempty"`
	// Group is the control group of the gateway; nil where there is none, and with an older shim.
	Group *process.Group `json:"cgroup,omitempty"`
	// Cleared says that after the end no process of the tree was left. An older shim never says it.
	Cleared bool `json:"cleared,omitempty"`

	// The fields below change too often for the disk: they are complete only in answers over the socket.
	Exit      *Exit  `json:"exit,omitempty"`
	OutputEnd uint64 `json:"output_end,omitempty"`
	// OutputLost counts bytes of output that are in the shim's memory only, because the disk failed.
	OutputLost   uint64 `json:"output_lost,omitempty"`
	OutputFault  string `json:"output_fault,omitempty"`
	StopAsked    bool   `json:"stop_asked,omitempty"`
	StoppedAlone bool   `json:"stopped_alone,omitempty"` // stopped by orphan grace or by a SIGTERM to the shim
}

// Mark is the value of EnvMark in every process of this launch: unique on the machine as long as any of them can live.
func (s State) Mark() string {
	return fmt.Sprintf("%s:%d:%s", s.LaunchID, s.Shim.PID, s.Shim.StartTime)
}

// Tree returns every process of the launch, with the gateway: found by descent, and by EnvMark and its control group
// those that left the tree.
func (s State) Tree() process.Query {
	return process.Query{
		Roots: []process.Identity{s.Gateway}, WithRoots: true, Env: EnvMark + "=" + s.Mark(), Group: s.ownGroup(),
	}
}

// GroupName is the name of a launch's control group.
func GroupName(launchID string) string { return "gatehost-" + launchID }

// ownGroup returns Group if it can be the launch's: a file must not be able to name another one.
func (s State) ownGroup() *process.Group {
	if s.Group == nil || !filepath.IsAbs(s.Group.Path) || filepath.Base(s.Group.Path) != GroupName(s.LaunchID) {
		return nil
	}
	return s.Group
}

// removeGroup removes the control group of a launch of which nothing lives.
func (s State) removeGroup() error {
	if g := s.ownGroup(); g != nil {
		return g.Remove()
	}
	return nil
}

// Exit is how the gateway's process ended.
type Exit struct {
	Code      int       `json:"code"`             // meaningless when Signal is set
	Signal    string    `json:"signal,omitempty"` // "SIGKILL"
	Core      bool      `json:"core,omitempty"`
	At        time.Time `json:"at"`
	EndOffset uint64    `json:"end_offset"` // of the output; exact when Final
	Truncated bool      `json:"truncated,omitempty"`
	Final     bool      `json:"final,omitempty"` // the output was read to its end, or to the bound
	Durable   bool      `json:"durable"`         // known to be on disk
}

// Names of the files of a bundle.
const (
	specFile  = "spec.json"
	stateFile = "state.json"
	exitFile  = "exit"
	lockFile  = "lock"
	aliveFile = "alive" // locked by the shim and by the gateway
	beatFile  = "heartbeat"
	keyFile   = "secret"
	// LogFile is the shim's own log.
	LogFile = "shim.log"

	exitSize = 4 << 10
	maxFile  = 1 << 20
)

// WriteState replaces state.json durably. It is the shim's.
func WriteState(dir string, s State) error {
	return writeDurably(filepath.Join(dir, stateFile), s)
}

func writeDurably(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return writeWhole(path, append(b, '\n'))
}

// writeWhole replaces a file durably; a reader sees the old content or the new one.
func writeWhole(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // 0600; several may write at once
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	tmp := f.Name()
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = errors.Join(os.Rename(tmp, path), syncDir(filepath.Dir(path)))
	}
	if err != nil {
		os.Remove(tmp)
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

func readJSON(path string, v any) error {
	b, err := readFile(path, maxFile)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s holds no JSON that could be read: %w", filepath.Base(path), err)
	}
	return nil
}

func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil {
		return nil, err
	} else if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", filepath.Base(path))
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", filepath.Base(path), limit)
	}
	return b, nil
}

// ExitRecord is the reserved place for a launch's exit. It is the shim's and belongs to one goroutine.
type ExitRecord struct{ f *os.File }

// ReserveExit writes the place durably before there is an exit, so that a full disk cannot lose it later.
func ReserveExit(dir string) (*ExitRecord, error) {
	f, err := os.OpenFile(filepath.Join(dir, exitFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		_, err = f.WriteAt(bytes.Repeat([]byte{' '}, exitSize), 0)
		err = errors.Join(err, f.Sync(), syncDir(dir))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot reserve exit record: %w", err)
	}
	return &ExitRecord{f}, nil
}

// Write overwrites the record and answers e with Durable as it turned out.
func (r *ExitRecord) Write(e Exit) Exit {
	e.Durable = true
	b, err := json.Marshal(e)
	if err == nil {
		page := bytes.Repeat([]byte{' '}, exitSize)
		copy(page, b)
		page[exitSize-1] = '\n'
		_, err = r.f.WriteAt(page, 0)
		err = errors.Join(err, r.f.Sync())
	}
	e.Durable = err == nil
	return e
}

// Close gives up the file.
func (r *ExitRecord) Close() { r.f.Close() }

// readExit returns nil when the gateway has not ended, as far as its shim could write.
func readExit(dir string) (*Exit, error) {
	b, err := readFile(filepath.Join(dir, exitFile), exitSize)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b = bytes.Trim(b, " \n\x00")
	if len(b) == 0 {
		return nil, nil
	}
	var e Exit
	if err := json.Unmarshal(b, &e); err != nil {
		return nil, fmt.Errorf("exit holds no record that could be read: %w", err)
	}
	return &e, nil
}
