package pluginhost

import (
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/gatehost/gatehost/host/internal/sandbox"
)

// command is what is run for a plugin: the plugin, or the host's own binary, which shuts itself in and becomes the plugin.
func command(s Spec, exe *executable, data, sockets string, o Options) (*exec.Cmd, error) {
	argv := slices.Concat(exe.argv, s.Args)
	if s.Sandbox == nil {
		cmd := exec.Command(argv[0], argv[1:]...) //nolint:gosec,noctx // its life is longer than any call's
		execOpened(cmd, exe)
		return cmd, nil
	}
	path, err := filepath.Abs(argv[0]) // it runs in another directory
	if err != nil {
		return nil, err
	}
	args, err := exe.shutIn(s, data, sockets).Args(path, argv[1:])
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
