package pluginhost

import (
	"os"
	"os/exec"
)

// execOpened makes cmd run the file that was checked, not whatever stands at its path by then (R31). The plugin sees its real
// path as argv[0] and keeps the descriptor, which scripts need.
func execOpened(cmd *exec.Cmd, exe *executable, checked bool) {
	if !checked {
		return
	}
	cmd.ExtraFiles = []*os.File{exe.file}
	cmd.Path = "/proc/self/fd/3"
}
