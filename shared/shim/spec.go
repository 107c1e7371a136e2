package shim

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatehost/gatehost/shared/shim/outlog"
)

// Environment variables that a shim adds to a gateway's environment.
const (
	// EnvLaunchID tells people and programs which launch they belong to.
	EnvLaunchID = "GATEHOST_LAUNCH_ID"
	// EnvMark is State.Mark. It marks processes that left the tree, so that they can be found and ended: a launch id
	// alone could be in use by another host on the same machine.
	EnvMark = "GATEHOST_LAUNCH_MARK"
)

// Defaults and bounds of a Spec.
const (
	DefaultGrace  = 30 * time.Second
	DefaultLinger = time.Minute
	maxArgvBytes  = 128 << 10
	MaxStdin      = 1 << 20
	maxLabels     = 72
	maxLabelBytes = 32 << 10
)

// EnvVar is one variable of a gateway's environment. Secret values are not part of a spec's hash.
type EnvVar struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Secret bool   `json:"secret,omitempty"`
}

// Spec is what a shim is to run. It travels over the shim's standard input, never by argv or file.
type Spec struct {
	LaunchID string   `json:"launch_id"`       // 1 to 64 of [A-Za-z0-9._-], not starting with a dot
	Argv     []string `json:"argv"`            // [0] is a path or is looked up in the PATH of Env
	Env      []EnvVar `json:"env,omitempty"`   // the whole environment; EnvLaunchID and EnvMark are added
	Cwd      string   `json:"cwd,omitempty"`   // "" is the root directory
	Socket   string   `json:"socket"`          // see SocketPath
	Stdin    []byte   `json:"stdin,omitempty"` // for one-shot commands; at most MaxStdin, kept nowhere. None: /dev/null

	// Grace is the time between SIGTERM and SIGKILL when the shim itself decides to stop; 0 means DefaultGrace.
	Grace time.Duration `json:"grace_ns,omitempty"`
	// OrphanGrace is how long the gateway may live without any client; nil means for ever.
	OrphanGrace *time.Duration `json:"orphan_grace_ns,omitempty"`
	// Linger is how long the shim waits after the gateway's end to be released; nil means DefaultLinger.
	Linger *time.Duration `json:"linger_ns,omitempty"`
	// OutputMaxBytes bounds the output on disk; 0 means outlog.DefaultSize.
	OutputMaxBytes int64 `json:"output_max_bytes,omitempty"`
	// Labels belong to the launcher and are given back; no secrets. At most 72.
	Labels map[string]string `json:"labels,omitempty"`
	// NoGroup says that no control group must be made: the launcher has one for the gateway, as a systemd unit is.
	NoGroup bool `json:"no_cgroup,omitempty"`
}

// Validate names all faults of s.
func (s Spec) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if err := checkLaunchID(s.LaunchID); err != nil {
		errs = append(errs, err)
	}
	if len(s.Argv) == 0 || s.Argv[0] == "" {
		bad("argv is empty: name a program")
	}
	argv := strings.Join(s.Argv, " ")
	if len(argv) > maxArgvBytes {
		bad("argv is %d bytes long, the limit is %d", len(argv), maxArgvBytes)
	}
	if strings.ContainsRune(argv, 0) {
		bad("argv holds a NUL byte")
	}
	for _, v := range s.Env {
		if v.Name == "" || strings.ContainsAny(v.Name, "=\x00") || strings.ContainsRune(v.Value, 0) {
			bad("environment variable %.64q: not a name, or a NUL byte in it", v.Name)
		}
	}
	if len(s.Stdin) > MaxStdin {
		bad("%d bytes for standard input, the limit is %d", len(s.Stdin), MaxStdin)
	}
	if s.Cwd != "" && !filepath.IsAbs(s.Cwd) {
		bad("cwd %.200q is not absolute", s.Cwd)
	}
	size := 0
	for k, v := range s.Labels {
		size += len(k) + len(v)
	}
	if len(s.Labels) > maxLabels || size > maxLabelBytes {
		bad("%d labels with %d bytes, the limits are %d and %d", len(s.Labels), size, maxLabels, maxLabelBytes)
	}
	if s.OutputMaxBytes != 0 && (s.OutputMaxBytes < outlog.MinSize || s.OutputMaxBytes > outlog.MaxSize) {
		bad("output of %d bytes: must be between %d and %d", s.OutputMaxBytes, outlog.MinSize, outlog.MaxSize)
	}
	if s.Grace < 0 || (s.OrphanGrace != nil && *s.OrphanGrace < 0) || (s.Linger != nil && *s.Linger < 0) {
		bad("a negative duration")
	}
	if err := checkSocketPath(s.Socket); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func checkLaunchID(id string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	foreign := func(r rune) bool { return !strings.ContainsRune(allowed, r) }
	if id == "" || len(id) > 64 || id[0] == '.' || strings.ContainsFunc(id, foreign) {
		return fmt.Errorf("launch id %.80q: must be 1 to 64 of letters, digits, '.', '_', '-', not starting with a dot",
			id)
	}
	return nil
}

// maxSocketPath is sun_path without its final NUL on the strictest system we run on (macOS 104, Linux 108).
const maxSocketPath = 103

func checkSocketPath(path string) error {
	switch {
	case path == "":
		return errors.New("no socket path: use SocketPath")
	case !filepath.IsAbs(path):
		return fmt.Errorf("socket path %q is not absolute", path)
	case len(path) > maxSocketPath:
		return fmt.Errorf("socket path is %d bytes long, the system allows %d: choose a shorter runtime directory (%s)",
			len(path), maxSocketPath, path)
	}
	return nil
}

// SocketPath returns a short name in runtimeDir that only this launch has: two run directories never share one.
func SocketPath(runtimeDir, bundleDir string) string {
	sum := sha256.Sum256([]byte(filepath.Clean(bundleDir)))
	return filepath.Join(runtimeDir, hex.EncodeToString(sum[:6])+socketSuffix)
}

// socketSuffix marks the sockets that we may remove.
const socketSuffix = ".shim"

// Hash tells two specs apart without revealing a secret: values of secret variables, and the place of the bundle, are
// not part of it.
func (s Spec) Hash() string {
	public := s
	public.Socket, public.Stdin = "", nil
	public.Env = make([]EnvVar, len(s.Env))
	for i, v := range s.Env {
		if v.Secret {
			v.Value = ""
		}
		public.Env[i] = v
	}
	b, err := json.Marshal(public)
	if err != nil {
		panic(fmt.Sprintf("shim: a spec of plain values cannot be encoded: %v", err))
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// SavedSpec is what a bundle keeps of a Spec.
type SavedSpec struct {
	LaunchID string            `json:"launch_id"`
	Hash     string            `json:"hash"`
	Argv     []string          `json:"argv"`
	Cwd      string            `json:"cwd,omitempty"`
	EnvNames []string          `json:"env_names,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Created  time.Time         `json:"created"`
}

func (s Spec) saved(now time.Time) SavedSpec {
	names := make([]string, len(s.Env))
	for i, v := range s.Env {
		names[i] = v.Name
	}
	return SavedSpec{
		LaunchID: s.LaunchID, Hash: s.Hash(), Argv: s.Argv, Cwd: s.Cwd, EnvNames: names, Labels: s.Labels, Created: now,
	}
}

// readSpec reads what a bundle keeps of its Spec.
func readSpec(dir string) (SavedSpec, error) {
	var s SavedSpec
	if err := readJSON(filepath.Join(dir, specFile), &s); err != nil {
		return SavedSpec{}, err
	}
	if id := filepath.Base(dir); s.LaunchID != id {
		return SavedSpec{}, fmt.Errorf("%s is of launch %.80q", specFile, s.LaunchID)
	}
	return s, nil
}
