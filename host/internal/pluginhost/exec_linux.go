package pluginhost

import (
	"os"
	"os/exec"
)

// execOpened makes cmd run the file that was checked, and not a file that has taken its path since (R31). The plugin
// sees its real path as argv[0] and keeps the descriptor, which scripts need.
func execOpened(cmd *exec.Cmd, exe *executable) {
	if exe.checked {
		handOver(cmd, exe)
		cmd.Path = "/proc/self/fd/3"
	}
}

// handOver gives the opened file to the process, as its descriptor 3.
func handOver(cmd *exec.Cmd, exe *executable) { cmd.ExtraFiles = []*os.File{exe.file} }
