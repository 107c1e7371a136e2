package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Verb is the hidden verb of the host's binary that becomes a plugin.
const Verb = "sandbox-exec"

// Spec is what one plugin may do.
type Spec struct {
	// files and directories, absolute; to read and to execute; missing ones are skipped
	Read  []string `json:"read,omitempty"`
	Write []string `json:"write,omitempty"` // the same, also for writing
	// directories, absolute, to see the names in them and below; their files stay closed
	List    []string `json:"list,omitempty"`
	Network bool     `json:"network,omitempty"` // TCP and UDP
	// Command: the program is the first word of the command line, as a shell would find it, and not descriptor 3. For a
	// plugin that is only marked, and for commands that a launcher runs, which passes no descriptors on. They keep their
	// system calls and capabilities: the gateway's program, and not a plugin's, runs.
	Command bool `json:"command,omitempty"`
	// Program is a symbolic link to the program at descriptor 3, absolute: the kernel names the process by the last part
	// of the path that it executes. "": Descriptor itself is executed, and the process is called "3".
	Program   string `json:"program,omitempty"`
	Watched   bool   `json:"watched,omitempty"`   // descriptor 4 leads to a Watch
	OpenFiles uint64 `json:"openFiles,omitempty"` // most open files; 0: 1024
	FileSize  uint64 `json:"fileSize,omitempty"`  // most bytes of a file that it writes; 0: 1 GiB
	Memory    uint64 `json:"memory,omitempty"`    // most bytes of data of each of its processes; 0: 4 GiB
	Mark      uint64 `json:"mark,omitempty"`      // of its processes, at least 1<<32, see Members; 0: none
	// MarkOnly says that only the mark is set: the plugin is not sandboxed, and the host finds its processes by it.
	MarkOnly bool `json:"markOnly,omitempty"`
	// Unfiltered says that this kernel has no filters of system calls; see Support.
	Unfiltered bool `json:"unfiltered,omitempty"`
	// Level is landlock's level to use at most, 0: the kernel's. Tests try with it what older kernels do not stop.
	Level int `json:"level,omitempty"`
}

// Defaults of the limits.
const (
	DefaultOpenFiles = 1024
	DefaultFileSize  = 1 << 30
	DefaultMemory    = 4 << 30
)

// maxWord is how many bytes Linux accepts as one word of a command line, its end included (execve(2),
// MAX_ARG_STRLEN).
const maxWord = 128 << 10

// System is what every program needs to begin and to tell the time: libraries, interpreters, certificates, and
// devices that hold nothing. None of it belongs to a user, and none of it is secret.
func System() (read, write []string) {
	read = []string{
		"/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache", "/etc/ld.so.preload",
		"/etc/localtime", "/etc/timezone", "/etc/ssl", "/etc/ca-certificates", "/etc/pki/tls", "/etc/passwd",
		"/etc/group", "/etc/nsswitch.conf", "/etc/hosts", "/etc/resolv.conf", "/etc/alternatives", "/etc/os-release",
		"/etc/locale.alias", "/etc/host.conf", "/etc/gai.conf", "/etc/services", "/etc/protocols", "/dev/random",
		"/dev/urandom", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version",
		"/proc/filesystems", "/proc/sys/kernel", "/proc/sys/vm", "/proc/sys/net/core/somaxconn",
		"/sys/devices/system/cpu", "/sys/fs/cgroup", "/sys/kernel/mm/transparent_hugepage",
	}
	return read, []string{"/dev/null", "/dev/zero", "/dev/full"}
}

// Args returns the command line of the host's binary that becomes the plugin. The file to run is descriptor 3 of
// the new process; path is what it sees as its own name.
func (s Spec) Args(path string, args []string) ([]string, error) {
	for _, p := range slices.Concat(s.Read, s.Write, s.List) {
		if !filepath.IsAbs(p) {
			return nil, fmt.Errorf("cannot sandbox the plugin: %q is not an absolute path", p)
		}
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("cannot sandbox the plugin: %w", err)
	}
	if len(text) >= maxWord {
		return nil, fmt.Errorf("cannot sandbox the plugin: the names of the %d files and directories that it may "+
			"open take %d bytes, at most %d fit; list directories in [files], not each of their files",
			len(s.Read)+len(s.Write)+len(s.List), len(text), maxWord-1)
	}
	return append([]string{Verb, string(text), "--", path}, args...), nil
}

// parse is the inverse of Args: it reads what follows the verb.
func parse(args []string) (Spec, []string, error) {
	var s Spec
	if len(args) < 3 || args[1] != "--" {
		return s, nil, errors.New("this verb is for the host itself: it becomes a plugin")
	}
	dec := json.NewDecoder(strings.NewReader(args[0]))
	dec.DisallowUnknownFields() // a rule that cannot be read would be a hole
	if err := dec.Decode(&s); err != nil {
		return s, nil, fmt.Errorf("cannot sandbox the plugin: %w", err)
	}
	if s.OpenFiles == 0 {
		s.OpenFiles = DefaultOpenFiles
	}
	if s.FileSize == 0 {
		s.FileSize = DefaultFileSize
	}
	if s.Memory == 0 {
		s.Memory = DefaultMemory
	}
	return s, args[2:], nil
}

// Descriptor is where a process that was handed the opened file of its program finds it.
const Descriptor = "/proc/self/fd/3"

// Self returns the host's own binary, also after the file was replaced.
const Self = "/proc/self/exe"
