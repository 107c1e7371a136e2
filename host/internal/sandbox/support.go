package sandbox

import "fmt"

// Support says what this machine can do.
type Support struct {
	Level  int  // landlock's ABI version; 0: there is no sandbox here
	Filter bool // the kernel refuses system calls for us (seccomp)
}

// OK reports whether there is a sandbox at all.
func (s Support) OK() bool { return s.Level > 0 }

// String names the level.
func (s Support) String() string {
	switch {
	case !s.OK():
		return "none on this platform"
	case !s.Filter:
		return fmt.Sprintf("landlock ABI %d, no seccomp", s.Level)
	default:
		return fmt.Sprintf("landlock ABI %d, seccomp", s.Level)
	}
}

// Gap is what a plugin can do although it is sandboxed. A test tries each one in a sandbox of each kind, and writes the
// table of docs/sandbox.md.
type Gap struct {
	Text string
	// try is what the test does; it is told of a path and a process of the user
	try string
	// below is the first level of landlock that stops it; 0: none does
	below int
	// unless says what stops it at every level
	unless stop
}

// stop is something that stops a plugin at every level of landlock.
type stop int

const (
	nothing        stop = iota
	byFilter            // the filter of system calls
	filterNoGrant       // the filter, when the plugin is not given the network
	filterOrGrants      // the filter; a plugin that is given the network is meant to do it
)

// open reports whether a kernel leaves the gap open for a plugin with or without network.
func (g Gap) open(s Support, network bool) bool {
	if g.below > 0 && s.Level >= g.below {
		return false
	}
	switch g.unless {
	case byFilter:
		return !s.Filter
	case filterNoGrant:
		return !s.Filter || network
	case filterOrGrants:
		return !s.Filter && !network
	default:
		return true
	}
}

// AllGaps returns the gaps of all kernels that have landlock.
func AllGaps() []Gap {
	return []Gap{
		{Text: "use processor time", try: "spin"},
		{Text: "use memory, up to memory_max for all of its processes", try: "allocate"},
		{Text: "fill its data directory, up to 4 GiB", try: "fill"},
		{Text: "see whether a process or a file exists, and a file's size, owner and times", try: "stat"},
		{Text: "hear of changes in directories that its user can read (inotify)", try: "inotify"},
		{Text: "change mode, times and attributes of files that it may read, by their descriptor", try: "fchmod"},
		{Text: "truncate files that it may not write", try: "truncate", below: 3},
		{Text: "signal processes of its user", try: "signal", below: 6},
		{
			Text: "connect to unix sockets that have a path; the host's own refuses plugins", try: "unix",
			unless: filterNoGrant,
		},
		{Text: "connect to abstract unix sockets", try: "abstract", below: 6, unless: filterNoGrant},
		{Text: "use TCP", try: "tcp", below: 4, unless: filterOrGrants},
		{Text: "use TCP by MPTCP, and listen without an address", try: "mptcp", unless: filterOrGrants},
		{Text: "use UDP", try: "udp", unless: filterOrGrants},
		{Text: "use sockets of the kernel's own (netlink)", try: "netlink", unless: byFilter},
		{Text: "change mode, times and attributes of every file of its user, by the path", try: "chmod", unless: byFilter},
		{Text: "change the limits, priority and scheduling of processes of its user", try: "priority", unless: byFilter},
		{Text: "keep keys in the kernel's keyrings", try: "keys", unless: byFilter},
		{Text: "use System V shared memory, semaphores and queues", try: "shm", unless: byFilter},
	}
}

// Gaps lists, in words, what a plugin can still do here although it is sandboxed.
func (s Support) Gaps(network bool) []string {
	if !s.OK() {
		return []string{"nothing is denied: it can do everything that the host's user can"}
	}
	var out []string
	for _, g := range AllGaps() {
		if g.open(s, network) {
			out = append(out, "it can "+g.Text)
		}
	}
	return out
}
