//go:build linux

package chaos_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/gatehost/gatehost/internal/testhost"
)

// role is what a process is to the site.
type role string

const (
	roleHost    role = "host"
	rolePlugin  role = "plugin"
	roleShim    role = "shim"
	roleGateway role = "gateway" // the main process of a launch
	roleChild   role = "child"   // anything else that a launch started
	roleCommand role = "command" // a one-shot command of a doctor, its children and its shim
	roleOther   role = "other"
)

// proc is one live process of the site.
type proc struct {
	role    role
	pid     int
	ppid    int
	started string // clock ticks since boot: with the pid an identity
	name    string // of the plugin or the gateway
	launch  string
	args    string
}

func (p proc) String() string {
	return fmt.Sprintf("%s %s pid %d (parent %d) launch %s: %.120s", p.role, p.name, p.pid, p.ppid, p.launch, p.args)
}

// same reports whether two looks saw one process.
func (p proc) same(q proc) bool {
	return p.pid == q.pid && p.started == q.started && p.launch == q.launch
}

// sameLaunch reports whether q is what p's life hangs on.
func (p proc) sameLaunch(q proc) bool {
	return p.launch != "" && q.launch == p.launch && (q.role == roleGateway || q.role == roleShim || q.role == roleChild)
}

func (p proc) alive() bool {
	_, started, state := statOf(p.pid)
	return started == p.started && state != "Z" && state != "X"
}

// statOf reads /proc/PID/stat; state is empty when there is no such process.
func statOf(pid int) (ppid int, started, state string) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, "", ""
	}
	_, after, _ := strings.Cut(string(data[bytes.LastIndexByte(data, ')'):]), " ") // the name may hold anything
	fields := strings.Fields(after)
	if len(fields) < 20 {
		return 0, "", ""
	}
	ppid, _ = strconv.Atoi(fields[1])
	return ppid, fields[19], fields[0]
}

// processes is every live process of the site. Shims have no environment: their open files tell whose they are.
func (s *site) processes() []proc {
	entries, _ := os.ReadDir("/proc")
	var out []proc
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if p, ok := s.classify(pid); ok {
			out = append(out, p)
		}
	}
	return out
}

func (s *site) classify(pid int) (proc, bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	if len(cmdline) == 0 {
		return proc{}, false
	}
	p := proc{pid: pid, args: strings.TrimSpace(strings.ReplaceAll(string(cmdline), "\x00", " "))}
	p.ppid, p.started, _ = statOf(pid)
	args := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
	if args[0] == "gatehost-shim" && len(args) == 3 && args[1] == "run" {
		if !s.holdsFiles(dir) {
			return proc{}, false
		}
		p.role, p.launch = roleShim, args[2]
		if s.isCommand(p.launch) {
			p.role = roleCommand
		}
		return p, true
	}
	environ, _ := os.ReadFile(filepath.Join(dir, "environ"))
	if !bytes.Contains(environ, []byte(s.dir)) {
		return proc{}, false
	}
	env := map[string]string{}
	for kv := range bytes.SplitSeq(environ, []byte{0}) {
		k, v, _ := strings.Cut(string(kv), "=")
		env[k] = v
	}
	p.launch = env["GATEHOST_LAUNCH_ID"]
	switch {
	case p.launch == "" && env["GATEHOST_PLUGIN_NAME"] != "":
		p.role, p.name = rolePlugin, env["GATEHOST_PLUGIN_NAME"]
	case p.launch == "" && len(args) > 1 && args[1] == "run":
		p.role = roleHost
	case p.launch == "":
		p.role = roleOther
	case s.isCommand(p.launch):
		p.role, p.name = roleCommand, env["CHAOS_GATEWAY"]
	default:
		p.role, p.name = roleChild, env["CHAOS_GATEWAY"]
		if args[0] != "gatehost-shim" && isGateway(args) {
			p.role = roleGateway
		}
	}
	return p, true
}

// isGateway knows the emulator and OpenClaw, which gives itself another title once it is up.
func isGateway(args []string) bool {
	return slices.Contains(args, "gateway") || strings.HasPrefix(args[0], "openclaw-gateway") || args[0] == "openclaw"
}

func (s *site) isCommand(launch string) bool {
	_, err := os.Stat(filepath.Join(s.state(), "run", ".exec", launch))
	return err == nil
}

func (s *site) holdsFiles(dir string) bool {
	fds, _ := os.ReadDir(filepath.Join(dir, "fd"))
	for _, fd := range fds {
		target, err := os.Readlink(filepath.Join(dir, "fd", fd.Name()))
		if err == nil && strings.HasPrefix(target, s.dir+"/") {
			return true
		}
	}
	return false
}

// listeners is the pids that listen on a port.
func listeners(port int) []int {
	inodes := map[string]bool{}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, _ := os.ReadFile(file)
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	var pids []int
	if len(inodes) == 0 {
		return nil
	}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		fds, _ := os.ReadDir(filepath.Join("/proc", e.Name(), "fd"))
		for _, fd := range fds {
			if target, err := os.Readlink(filepath.Join("/proc", e.Name(), "fd", fd.Name())); err == nil && inodes[target] {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}

// usage is the memory in kB and the open files of a process.
func usage(pid int) (rssKB, fds int) {
	data, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			rssKB, _ = strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	entries, _ := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	return rssKB, len(entries)
}

func kill(pid int, sig syscall.Signal) bool { return testhost.Signal(pid, sig) == nil }
