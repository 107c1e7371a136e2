package process

import "context"

// SleepUntilGone sleeps until a process has ended, or until ctx is done.
func SleepUntilGone(ctx context.Context, id Identity) { id.sleepUntilGone(ctx) }

// GroupDir is the folder of a control group.
func GroupDir(own, mounts string) (string, error) { return groupDir(own, mounts) }
