package process

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// pidNamespace is what namespaces(7) calls its identity, such as "pid:[4026531836]".
func pidNamespace() string {
	link, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return link
}

// machineID is that of machine-id(5). Containers often have none.
func machineID() string {
	for _, path := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		b, _ := readBounded(f, 128)
		f.Close()
		if id := strings.TrimSpace(string(b)); len(id) == 32 { // it can be empty, or "uninitialized"
			return id
		}
	}
	return ""
}
