package pluginhost

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/shared/fault"
)

// TestManifestOfAFailedStartIsShownWhileNoProcessServes: a process that serves has its own.
func TestManifestOfAFailedStartIsShownWhileNoProcessServes(t *testing.T) {
	c := newCurrent("p", time.Second, func(State) {})
	first, second := &manifest.Manifest{Plugin: "first"}, &manifest.Manifest{Plugin: "second"}
	c.looked(first)
	if got := c.snapshot().Manifest; got != first {
		t.Errorf("manifest = %+v", got)
	}
	_, gen := begun(42)
	gen.exe.manifest = first
	c.running(gen)
	c.looked(second)
	if got := c.snapshot().Manifest; got != first {
		t.Errorf("manifest = %+v while a process with another one serves", got)
	}
}

// TestCallOfAPluginThatStartsEndsWithItsCallerOrWithTheBound: each says its own reason.
func TestCallOfAPluginThatStartsEndsWithItsCallerOrWithTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCurrent("p", time.Minute, func(State) {})
		from := time.Now()
		if _, err := c.get(t.Context()); fault.CodeOf(err) != fault.PluginDown || time.Since(from) != time.Minute {
			t.Errorf("after %v: %v", time.Since(from), err)
		}
		why := errors.New("the caller has left")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(why) })
		from = time.Now()
		if _, err := c.get(ctx); !errors.Is(err, why) || time.Since(from) != time.Second {
			t.Errorf("after %v: %v", time.Since(from), err)
		}
	})
}
