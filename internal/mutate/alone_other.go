//go:build !linux

package main

import (
	"context"
	"os/exec"
)

const aloneArg = "-alone"

// alone contains nothing: only Linux gives us the means.
func alone(ctx context.Context, _ []string, _ string, _ ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "")
	cmd.Err = exec.ErrNotFound
	return cmd
}

func runAlone([]string) int { return 1 }
