package pluginhost

import (
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/gatehost/gatehost/host/internal/sandbox"
)

// command is what is run for a plugin: the plugin, or the host's own binary, which shuts itself in and becomes the plugin.
func command(s Spec, exe *executable, data, sockets string, o Options) (*exec.Cmd, error) {
	if s.Sandbox == nil {
		cmd := exec.Command(exe.path, s.Args...) //nolint:gosec,noctx // its life is longer than any call's
		execOpened(cmd, exe, s.SHA256 != "")
		return cmd, nil
	}
	path, err := filepath.Abs(exe.path) // it runs in another directory
	if err != nil {
		return nil, err
	}
	spec := *s.Sandbox
	spec.Write = append(slices.Clip(spec.Write), data, sockets)
	args, err := spec.Args(path, s.Args)
	if err != nil {
		return nil, err
	}
	wrapper := o.Wrapper
	if wrapper == "" {
		wrapper = sandbox.Self
	}
	cmd := exec.Command(wrapper, args...) //nolint:gosec,noctx // as above
	handOver(cmd, exe)
	return cmd, nil
}
