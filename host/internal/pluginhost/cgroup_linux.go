package pluginhost

import (
	"fmt"
	"os/exec"
	"syscall"

	shimproc "github.com/gatehost/gatehost/shared/shim/process"
)

// enclosure is the control group of a plugin's process and all that it starts: the kernel counts them together, and
// kills them at once. It is made where the host may make one; without it the marks have to do. nil: there is none.
type enclosure struct{ group shimproc.Group }

// mostPids is how many processes and threads the kernel allows in one group. The host ends a plugin with fewer.
const mostPids = 1024

// groupPrefix begins the names of the groups. Every shim sweeps old empty groups whose names begin with "gatehost-", so
// those of a plugin that is configured no more go, too.
const groupPrefix = "gatehost-plugin-"

// enclose makes the group of a process with this mark; memory is what all of it may use, in bytes.
func enclose(mark, memory uint64) *enclosure {
	if mark == 0 {
		return nil
	}
	g, err := shimproc.MakeGroup(fmt.Sprintf("%s%016x", groupPrefix, mark))
	if err != nil {
		return nil
	}
	// The controllers are there only where an administrator has delegated them; the marks bound the same without them.
	_ = g.Limit("pids.max", mostPids)
	_ = g.Limit("memory.max", memory)
	return &enclosure{g}
}

// sweepEnclosures removes the empty groups of a plugin that a killed host left.
func sweepEnclosures(data string) {
	shimproc.SweepGroups(fmt.Sprintf("%s%08x", groupPrefix, markOfAll(data)>>32), 0)
}

// start starts cmd in the group, or outside of it where the kernel refuses that: then the enclosure is given up, and
// nil is returned.
func (e *enclosure) start(cmd *exec.Cmd) (*exec.Cmd, *enclosure, error) {
	if e == nil {
		return cmd, nil, cmd.Start()
	}
	dir, err := e.group.Open()
	if err == nil {
		attr := *cmd.SysProcAttr
		attr.UseCgroupFD, attr.CgroupFD = true, int(dir.Fd())
		inside := again(cmd, &attr)
		err = inside.Start()
		_ = dir.Close()
		if err == nil {
			return inside, e, nil
		}
	}
	_ = e.group.Remove()
	return cmd, nil, cmd.Start()
}

// again returns the same command with other attributes: a command can be started once.
func again(cmd *exec.Cmd, attr *syscall.SysProcAttr) *exec.Cmd {
	return &exec.Cmd{
		Path: cmd.Path, Args: cmd.Args, Env: cmd.Env, Dir: cmd.Dir, ExtraFiles: cmd.ExtraFiles, Err: cmd.Err,
		Stdin: cmd.Stdin, Stdout: cmd.Stdout, Stderr: cmd.Stderr, SysProcAttr: attr,
	}
}

// end kills what is in the group, and removes it.
func (e *enclosure) end() error {
	if e == nil {
		return nil
	}
	return e.group.End()
}
