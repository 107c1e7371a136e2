package pluginhost

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/gatehost/gatehost/host/internal/sandbox"
)

// execOpened makes cmd run the file that was checked, and not a file that has taken its path since (R31). The plugin
// sees its real path as argv[0] and keeps the descriptor, which scripts need. sockets is as in newProcess.
func execOpened(cmd *exec.Cmd, exe *executable, sockets string) error {
	if !exe.checked {
		return nil
	}
	handOver(cmd, exe)
	link, err := exe.link(sockets)
	if err == nil {
		cmd.Path = link
	}
	return err
}

// handOver gives the opened file to the process, as its descriptor 3.
func handOver(cmd *exec.Cmd, exe *executable) { cmd.ExtraFiles = []*os.File{exe.file} }

// link makes a symbolic link to descriptor 3 in the directory of a generation, and returns its path. The process that
// executes it is called as the plugin's file is, or as its manifest says, and not "3". No code of the plugin runs
// before that, so that the link cannot lead to another file by then.
func (e *executable) link(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	name := filepath.Base(e.path)
	if e.manifest != nil {
		name = e.manifest.Plugin
	}
	path := filepath.Join(dir, name)
	if err := os.Symlink(sandbox.Descriptor, path); err != nil {
		return "", fmt.Errorf("cannot name the plugin's process: %w", err)
	}
	return path, nil
}
