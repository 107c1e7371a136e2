package sandbox

import (
	"fmt"
	"runtime"
	"unsafe"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// What landlock does not govern is refused by a seccomp filter. Filters hold for all children, and no process can
// remove one. Where several filters disagree the kernel takes the strictest answer, and a refusal is stricter than a
// notification (notify_linux.go), so their order does not matter.

// refused are the system calls that no plugin may make, by what they do. A name that an architecture does not have is
// skipped there. The other lists in this file refuse some uses of a call.
func refused() map[string][]string {
	return map[string][]string{
		"change another process": {
			"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "kcmp",
			"pidfd_getfd", "setpriority", "ioprio_set", "sched_setparam", "sched_setscheduler", "sched_setattr",
			"sched_setaffinity", "migrate_pages", "move_pages", "setrlimit",
		},
		"change metadata of a file by its path": {
			"chmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchownat", "utime", "utimes", "futimesat",
			"setxattr", "lsetxattr", "removexattr", "lremovexattr", "setxattrat",
		},
		"keep keys in the kernel": {"keyctl", "add_key", "request_key"},
		"talk by System V IPC and message queues": {
			"shmget", "shmat", "shmctl", "shmdt", "semget", "semop", "semtimedop", "semctl", "msgget", "msgsnd",
			"msgrcv", "msgctl", "mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive", "mq_notify",
			"mq_getsetattr",
		},
		"program the kernel": {
			"io_uring_setup", "io_uring_enter", "io_uring_register", "perf_event_open", "userfaultfd", "fanotify_init",
			"fanotify_mark",
		},
		"make namespaces and mounts": {
			"unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen",
			"fsconfig", "fsmount", "fspick", "mount_setattr", "statmount", "listmount",
		},
		"make devices, and open files by handles": {
			"mknod", "mknodat", "open_by_handle_at", "name_to_handle_at",
		},
		"administer the machine": {
			"acct", "quotactl", "quotactl_fd", "sethostname", "setdomainname",
			"settimeofday", "clock_settime", "syslog", "vhangup", "iopl", "ioperm", "modify_ldt", "nfsservctl",
			"lookup_dcookie",
		},
	}
}

// deadly are the system calls that end the process that makes one: no library tries them to see whether it may, so only
// an attack makes them, and the kernel's audit log then names it.
func deadly() []string {
	return []string{
		"bpf", "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "swapon", "swapoff",
		"reboot",
	}
}

// newestCall is the first number that is younger than the lists above; numbers of young calls are the same on all
// architectures. Calls from it on, and those of x32, which have higher numbers, do not exist for a plugin: they might
// do what a call of the lists does.
const newestCall = 464

// newNamespaces are the flags of clone(2) that make namespaces. CLONE_NEWTIME is not one of them: its bit is part of
// the signal there.
const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

const (
	notPermitted  = seccomp.ActionErrno | seccomp.Action(unix.EPERM)
	notAccessible = seccomp.ActionErrno | seccomp.Action(unix.EACCES) // as landlock answers about the network
	notThere      = seccomp.ActionErrno | seccomp.Action(unix.ENOSYS)
)

// when is a use of a call: all conditions hold. A condition compares 64 bits and the kernel may use the lower 32 of
// them, so what must be refused is never found by Equal alone.
func when(name string, conditions ...seccomp.Condition) seccomp.NameWithConditions {
	return seccomp.NameWithConditions{Name: name, Conditions: conditions}
}

func arg(n uint32, op seccomp.Operation, value uint64) seccomp.Condition {
	return seccomp.Condition{Argument: n, Operation: op, Value: value}
}

// uses are the uses of other calls that no plugin may make.
func uses() []seccomp.NameWithConditions {
	return []seccomp.NameWithConditions{
		when("prlimit64", arg(0, seccomp.NotEqual, 0)), // of another process
		when("prlimit64", arg(2, seccomp.NotEqual, 0)), // sets a limit; the host finds a plugin's processes by one
		when("utimensat", arg(1, seccomp.NotEqual, 0)), // a path; without one it is futimens
		when("clone", arg(0, seccomp.BitsSet, newNamespaces)),
	}
}

// sockets are the uses of sockets that are refused: all but unix streams, and TCP and UDP where the network is given.
// heard says that the host is asked about each TCP and UDP socket otherwise (notify_linux.go), and refuses it.
func sockets(network, heard bool) []seccomp.NameWithConditions {
	const family, kind, protocol = 0, 1, 2
	not := func(n uint32, values ...uint64) (all []seccomp.Condition) {
		for _, v := range values {
			all = append(all, arg(n, seccomp.NotEqual, v))
		}
		return all
	}
	families := []uint64{unix.AF_UNIX}
	if network || heard {
		families = append(families, unix.AF_INET, unix.AF_INET6)
	}
	// Of a type the lowest four bits count: stream is 1, datagram 2, raw 3; what is above is rare. A unix datagram
	// socket, which a raw one is as well, could send to any address. A family that Equal does not find because of
	// its upper bits was refused by the first row.
	unixSocket := arg(family, seccomp.Equal, unix.AF_UNIX)
	out := []seccomp.NameWithConditions{
		when("socket", not(family, families...)...),
		when("socket", arg(kind, seccomp.BitsSet, 0xc)),
		when("socket", arg(kind, seccomp.BitsNotSet, 0x3)),
		when("socket", arg(kind, seccomp.BitsSet, 0x1), arg(kind, seccomp.BitsSet, 0x2)),
		when("socket", unixSocket, arg(kind, seccomp.BitsSet, 0x2)),
		when("socketpair", not(family, unix.AF_UNIX)...),
		when("socketpair", arg(kind, seccomp.BitsNotSet, 0x1)),
		when("socketpair", arg(kind, seccomp.BitsSet, 0xe)),
	}
	if !network {
		return out
	}
	return append(out,
		when("socket", append(not(protocol, 0, unix.IPPROTO_TCP), arg(kind, seccomp.BitsSet, 0x1))...),
		when("socket", append(not(protocol, 0, unix.IPPROTO_UDP), arg(kind, seccomp.BitsSet, 0x2))...),
	)
}

// policies are the filters; each is short enough for the short jumps of the kernel's filters.
func policies(network, heard bool) []seccomp.Policy {
	one := func(action seccomp.Action, names []string, uses []seccomp.NameWithConditions) seccomp.Policy {
		return seccomp.Policy{
			DefaultAction: seccomp.ActionAllow,
			Syscalls:      []seccomp.SyscallGroup{{Names: names, NamesWithCondtions: uses, Action: action}},
		}
	}
	var connect []string
	if !network {
		connect = []string{"connect"}
	}
	out := []seccomp.Policy{
		one(notAccessible, connect, sockets(network, heard)),
		one(notPermitted, nil, uses()),
		one(notThere, []string{"clone3"}, nil), // its flags are in memory; libraries then use clone
	}
	out = append(out, one(seccomp.ActionKillProcess, known(deadly()), nil))
	for _, names := range refused() {
		out = append(out, one(notPermitted, known(names), nil))
	}
	return out
}

// known returns the calls that this architecture has.
func known(names []string) (out []string) {
	info, err := arch.GetInfo("")
	if err != nil {
		return nil
	}
	for _, name := range names {
		if _, ok := info.SyscallNames[name]; ok {
			out = append(out, name)
		}
	}
	return out
}

// filterable reports whether this kernel refuses system calls for us: whether it knows such filters, and lets this
// process ask for one.
func filterable() bool {
	//mutate:ignore only a machine of another architecture than amd64 evaluates the second name
	return (runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64") && seccomp.Supported()
}

// deny takes the system calls away from this thread, which is locked and becomes the plugin.
func deny(network, heard bool) error {
	fail := func(err error) error { return fmt.Errorf("cannot refuse system calls to the plugin: %w", err) }
	for _, p := range policies(network, heard) {
		if err := seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Policy: p}); err != nil {
			return fail(err)
		}
	}
	// The library's filters allow the calls of another architecture (32-bit programs), whose numbers mean other calls.
	info, err := arch.GetInfo("")
	if err != nil {
		return fail(err)
	}
	const load, equal, atLeast, ret = 0x20, 0x15, 0x35, 0x06
	if _, err := install([]unix.SockFilter{
		{Code: load, K: 4},                       // the architecture
		{Code: equal, K: uint32(info.ID), Jf: 2}, //nolint:gosec // the kernel's constant
		{Code: load, K: 0},                       // the number
		{Code: atLeast, K: newestCall, Jf: 1},
		{Code: ret, K: uint32(notThere)},
		{Code: ret, K: uint32(seccomp.ActionAllow)},
	}, 0); err != nil {
		return fail(err)
	}
	return nil
}

// install gives this thread a filter, and returns the listener that flags ask for.
func install(prog []unix.SockFilter, flags uintptr) (int, error) {
	const setModeFilter = 1
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]} //nolint:gosec // a handful
	//nolint:gosec // so the call wants it
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, flags, uintptr(unsafe.Pointer(&fprog)))
	runtime.KeepAlive(prog)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}
