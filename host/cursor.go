package host

import (
	"context"
	"time"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/output"
	"github.com/gatehost/gatehost/shared/launcher"
)

// cursorEvery is how often the place in a launch's output is stored: what a killed host had read since then is read twice.
const cursorEvery = time.Second

// keptOutput is a pipeline whose cursor outlives the host, so that the next one goes on where this one stopped.
type keptOutput struct {
	*output.Pipeline
	save  func(cursor uint64)
	saved time.Time
}

var _ engine.Output = (*keptOutput)(nil)

// Feed is called by one goroutine.
func (k *keptOutput) Feed(ctx context.Context, item launcher.OutputItem) error {
	err := k.Pipeline.Feed(ctx, item)
	if now := time.Now(); now.Sub(k.saved) >= cursorEvery {
		k.saved = now
		k.save(k.Cursor())
	}
	return err
}

// Close stores the last place.
func (k *keptOutput) Close() {
	k.Pipeline.Close()
	k.save(k.Cursor())
}
