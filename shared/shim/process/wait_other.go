//go:build !linux

package process

import "context"

// sleepUntilGone has no counterpart here.
func (id Identity) sleepUntilGone(context.Context) {}
