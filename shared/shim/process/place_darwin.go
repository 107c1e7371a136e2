package process

import "golang.org/x/sys/unix"

// pidNamespace is "": this kernel has one for all.
func pidNamespace() string { return "" }

func machineID() string {
	id, err := unix.Sysctl("kern.uuid")
	if err != nil {
		return ""
	}
	return id
}
