package peer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/process"
)

// kernel is what Linux says, by /proc.
type kernel struct {
	proc string // /proc
	uid  int    // of this process
	tree func(launch int) ([]int, error)
}

func newSystem() system { return kernel{proc: "/proc", uid: os.Geteuid(), tree: treeOf} }

// treeOf returns the pids of a launch: its process, all descendants, and the processes that left the tree and carry its
// mark, as a daemon behind a wrapper does. It is the tree that the shim ends.
func treeOf(launch int) ([]int, error) {
	root, err := process.Identify(launch)
	if errors.Is(err, process.ErrGone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	q := process.Query{Roots: []process.Identity{root}, WithRoots: true}
	if mark, ok := root.Env(shim.EnvMark); ok && mark != "" {
		q.Env = shim.EnvMark + "=" + mark
	}
	found, err := process.Find(q)
	pids := make([]int, 0, len(found))
	for _, id := range found {
		pids = append(pids, id.PID)
	}
	return pids, err
}

// holds looks at the launched process first: mostly it is the gateway, and no other process has to be read.
func (k kernel) holds(_ context.Context, launch int, e end) (bool, error) {
	has, err := k.has(launch, e.inode)
	if has {
		return k.fits(launch, e), nil
	}
	pids, treeErr := k.tree(launch)
	if treeErr != nil {
		return false, fmt.Errorf("%w: %w", ErrUnknown, treeErr)
	}
	hidden := 0 // a process of the tree that could have the socket and may not be looked at
	if errors.Is(err, fs.ErrPermission) && k.fits(launch, e) {
		hidden = launch
	}
	for _, pid := range pids {
		has, err := k.has(pid, e.inode)
		switch {
		case has:
			return k.fits(pid, e), nil
		case errors.Is(err, fs.ErrPermission) && k.fits(pid, e):
			hidden = pid
		}
	}
	if hidden != 0 {
		return false, fmt.Errorf("%w: this user may not read the descriptors of pid %d", ErrUnknown, hidden)
	}
	return false, nil
}

// fits reports whether the user of a socket is the one of a process that has it, or our own. A process may have a
// socket that another user's process has too.
func (k kernel) fits(pid int, e end) bool {
	if e.own {
		return true
	}
	fi, err := os.Stat(filepath.Join(k.proc, strconv.Itoa(pid)))
	if err != nil {
		return false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == e.uid
}

// namesAtOnce is how many descriptors are read before they are looked at.
const namesAtOnce = 1024

// has reports whether a process has a socket. fs.ErrPermission: this user may not look.
func (k kernel) has(pid int, inode uint64) (bool, error) {
	path := filepath.Join(k.proc, strconv.Itoa(pid), "fd")
	dir, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer func() { _ = dir.Close() }()
	want := "socket:[" + strconv.FormatUint(inode, 10) + "]"
	var hidden error // a process with more capabilities than ours shows its descriptors and not what they are
	for {
		names, err := dir.Readdirnames(namesAtOnce)
		for _, name := range names {
			target, err := os.Readlink(filepath.Join(path, name))
			if err == nil && target == want {
				return true, nil
			}
			if errors.Is(err, fs.ErrPermission) {
				hidden = err
			}
		}
		if err != nil || len(names) == 0 { // the end of the directory, or of the process
			return false, hidden
		}
	}
}

// owner looks for the process among all that this user may look at.
func (k kernel) owner(ctx context.Context, e end) Owner {
	o := Owner{UID: e.uid, Own: e.own}
	if u, err := user.LookupId(strconv.Itoa(e.uid)); err == nil {
		o.User = u.Username
	}
	dir, err := os.Open(k.proc)
	if err != nil {
		return o
	}
	defer func() { _ = dir.Close() }()
	for ctx.Err() == nil {
		names, err := dir.Readdirnames(namesAtOnce)
		for _, name := range names {
			pid, err := strconv.Atoi(name)
			if err != nil || ctx.Err() != nil {
				continue
			}
			if has, _ := k.has(pid, e.inode); has {
				o.PID, o.Command = pid, Command(ctx, pid)
				return o
			}
		}
		if err != nil || len(names) == 0 {
			return o
		}
	}
	return o
}
