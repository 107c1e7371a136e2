package pluginkit

import (
	"context"
	"os/exec"
	"time"
)

// outputBound is how long Wait still reads from pipes that a descendant of a dead command holds open.
const outputBound = time.Second

// Command is exec.CommandContext for plugins: the child never gets a plugin's stdin (the death pipe), stdout or stderr.
// A child that held those would keep the host from seeing the plugin's end, and would outlive it unseen (R5). Standard
// streams that the caller does not set are the null device; set Stdout and Stderr to a buffer to read them. The child
// leads its own group; when ctx ends the whole group is killed. Wait returns at most a second after the child's end,
// even if another process still holds its pipes.
func Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = outputBound
	ownGroup(cmd)
	return cmd
}
