package process

import "context"

// Kill kills all processes in a group at once.
func Kill(g Group) { g.kill() }

// SleepUntilGone sleeps until a process has ended, or until ctx is done.
func SleepUntilGone(ctx context.Context, id Identity) { id.sleepUntilGone(ctx) }

// GroupDir is the folder of a control group.
func GroupDir(own, mounts string) (string, error) { return groupDir(own, mounts) }
