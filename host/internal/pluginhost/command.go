package pluginhost

import (
	"hash/fnv"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/gatehost/gatehost/host/internal/sandbox"
)

// command returns what is run for a plugin: the plugin, or the host's own binary, which enters the sandbox and becomes
// the plugin. Then the watch reports what it opens, nil when the kernel cannot report that, and mark is that of all its
// processes.
func command(
	s Spec, exe *executable, data, sockets string, o Options,
) (cmd *exec.Cmd, watch *sandbox.Watch, mark uint64, err error) {
	argv := slices.Concat(exe.argv, s.Args)
	path, err := filepath.Abs(argv[0]) // it runs in another directory
	if err != nil {
		return nil, nil, 0, err
	}
	if s.Sandbox == nil {
		cmd, mark, err = unsandboxed(s, exe, path, argv, data, sockets, o)
		return cmd, nil, mark, err
	}
	spec := exe.sandboxOf(s, data, sockets)
	if spec.Program, err = exe.link(sockets); err != nil {
		return nil, nil, 0, err
	}
	watch, err = sandbox.NewWatch(spec, path)
	if err != nil {
		return nil, nil, 0, err
	}
	spec.Watched, spec.Unfiltered = watch != nil, !sandbox.Supported().Filter
	spec.Mark = newMark(data)
	spec.Memory = memoryOf(s)
	args, err := spec.Args(path, argv[1:])
	if err != nil {
		if watch != nil {
			watch.Close()
		}
		return nil, nil, 0, err
	}
	cmd = exec.Command(o.wrapper(), args...) //nolint:gosec,noctx // its life is longer than any call's
	handOver(cmd, exe)
	if watch != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, watch.Child())
	}
	return cmd, watch, spec.Mark, nil
}

// unsandboxed returns what is run for a plugin that is not sandboxed. All of its processes get a mark, so that they end
// with it and are known on the control socket, wherever they go. Those of a launcher do not: its gateways outlive it.
func unsandboxed(
	s Spec, exe *executable, path string, argv []string, data, sockets string, o Options,
) (cmd *exec.Cmd, mark uint64, err error) {
	if s.leaves() || !sandbox.CanMark() {
		cmd = exec.Command(argv[0], argv[1:]...) //nolint:gosec,noctx // as above
		return cmd, 0, execOpened(cmd, exe, sockets)
	}
	spec := sandbox.Spec{MarkOnly: true, Mark: newMark(data), Command: !exe.checked}
	if exe.checked {
		if spec.Program, err = exe.link(sockets); err != nil {
			return nil, 0, err
		}
	}
	args, err := spec.Args(path, argv[1:])
	if err != nil {
		return nil, 0, err
	}
	cmd = exec.Command(o.wrapper(), args...) //nolint:gosec,noctx // as above
	if exe.checked {
		handOver(cmd, exe)
	}
	return cmd, spec.Mark, nil
}

// wrapper is the binary that understands sandbox.Verb.
func (o Options) wrapper() string {
	if o.Wrapper == "" {
		return sandbox.Self
	}
	return o.Wrapper
}

// dataBesides is what a process may have as data besides its resident memory: stacks and heaps that it has not used.
const dataBesides = 1 << 30

// memoryOf returns what the kernel allows of memory, in bytes. It stops a process that grows faster than the host
// looks. It is not less for a small memory_max, which may be raised while the process runs.
func memoryOf(s Spec) uint64 { return max(sandbox.DefaultMemory, 2*s.MemoryMax+dataBesides) }

// newMark returns the mark of a process to start: the upper half is that of all processes of the plugin, in every host
// with this data directory; the lower half is random.
func newMark(data string) uint64 {
	return markOfAll(data) | uint64(rand.Uint32()|1) //nolint:gosec // it is no secret
}

// markOfAll returns the upper half of the marks of a plugin. It is never that of no mark, nor that of no limit.
func markOfAll(data string) uint64 {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(data))
	return uint64(sum.Sum32()>>1|1) << 32
}
