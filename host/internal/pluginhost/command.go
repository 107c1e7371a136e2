package pluginhost

import (
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/gatehost/gatehost/host/internal/sandbox"
)

// command returns what is run for a plugin: the plugin, or the host's own binary, which enters the sandbox and becomes
// the plugin. Then the watch reports what it opens; nil when the kernel cannot report that.
func command(s Spec, exe *executable, data, sockets string, o Options) (*exec.Cmd, *sandbox.Watch, error) {
	argv := slices.Concat(exe.argv, s.Args)
	if s.Sandbox == nil {
		cmd := exec.Command(argv[0], argv[1:]...) //nolint:gosec,noctx // its life is longer than any call's
		execOpened(cmd, exe)
		return cmd, nil, nil
	}
	path, err := filepath.Abs(argv[0]) // it runs in another directory
	if err != nil {
		return nil, nil, err
	}
	spec := exe.sandboxOf(s, data, sockets)
	watch, err := sandbox.NewWatch(spec, path)
	if err != nil {
		return nil, nil, err
	}
	spec.Watched = watch != nil
	args, err := spec.Args(path, argv[1:])
	if err != nil {
		if watch != nil {
			watch.Close()
		}
		return nil, nil, err
	}
	wrapper := o.Wrapper
	if wrapper == "" {
		wrapper = sandbox.Self
	}
	cmd := exec.Command(wrapper, args...) //nolint:gosec,noctx // as above
	handOver(cmd, exe)
	if watch != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, watch.Child())
	}
	return cmd, watch, nil
}
