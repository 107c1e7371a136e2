package pluginhost

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"runtime"
	"strings"
)

// foreign returns the platform for which a program was made that the kernel refused to run; "" when its header does not
// say.
func foreign(f *os.File) string {
	var head [20]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return ""
	}
	switch {
	case bytes.HasPrefix(head[:], []byte(elf.ELFMAG)):
		var order binary.ByteOrder = binary.LittleEndian
		if elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2MSB {
			order = binary.BigEndian
		}
		return "an ELF program for " + strings.ToLower(strings.TrimPrefix(elf.Machine(order.Uint16(head[18:])).String(),
			"EM_"))
	case bytes.HasPrefix(head[:], []byte("MZ")):
		return "a program for Windows"
	case bytes.HasPrefix(head[:], []byte{0xcf, 0xfa, 0xed, 0xfe}),
		bytes.HasPrefix(head[:], []byte{0xca, 0xfe, 0xba, 0xbe}):
		return "a program for macOS"
	default:
		return ""
	}
}

// wrongPlatform explains that a program which the kernel refused to execute is for another platform.
func wrongPlatform(f *os.File) string {
	why := "it is not a program of this platform (" + runtime.GOOS + "/" + runtime.GOARCH + ")"
	if is := foreign(f); is != "" {
		why += ", but " + is
	}
	return why
}
