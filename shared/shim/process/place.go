package process

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
)

// Place is where processes live: a pid and a start time name a process there, and mean nothing anywhere else. A field
// that is not known is empty.
type Place struct {
	BootID       string // of the kernel
	PIDNamespace string // Linux; a container has its own
	MachineID    string // hashed: the machine id itself is not for others to read
	Host         string // for people
}

// Here is the place of this process. Errors: those of BootID.
func Here() (Place, error) {
	boot, err := BootID()
	if err != nil {
		return Place{}, err
	}
	host, _ := os.Hostname() // only a name for people
	return Place{BootID: boot, PIDNamespace: pidNamespace(), MachineID: hashed(machineID()), Host: host}, nil
}

// hashed is the id of a machine as it is stored; "" for none.
func hashed(id string) string {
	if id = strings.TrimSpace(id); id == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("gatehost machine " + id))
	return hex.EncodeToString(sum[:16])
}
