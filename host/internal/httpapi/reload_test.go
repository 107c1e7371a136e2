package httpapi_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/gatehost/gatehost/host/internal/httpapi"
	"github.com/gatehost/gatehost/shared/control"
)

// configuration is reloaded as its knobs say.
type configuration struct {
	Blocks chan struct{} // Reload waits for it, also when its client has gone
	Err    error
	Panics bool

	mu    sync.Mutex // guards both
	asked []control.ReloadRequest
	ended int
}

func (c *configuration) Reload(ctx context.Context, req control.ReloadRequest) (control.Reload, error) {
	c.mu.Lock()
	c.asked = append(c.asked, req)
	c.mu.Unlock()
	if c.Panics {
		panic("as told")
	}
	if c.Blocks != nil {
		select {
		case <-c.Blocks:
		case <-ctx.Done():
			return control.Reload{}, context.Cause(ctx)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended++
	return control.Reload{Outcome: control.ReloadUnchanged}, c.Err
}

func (c *configuration) count() (asked, ended int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.asked), c.ended
}

func TestReloadIsAskedForAndItsFaultsAreTold(t *testing.T) {
	c := &configuration{}
	s := serve(t, &gateways{}, func(o *httpapi.Options) { o.Config = c })
	got, err := s.client.ReloadConfig(timeout(t), control.ReloadRequest{DryRun: true, Remove: true})
	if err != nil || got.Outcome != control.ReloadUnchanged || got.Changes == nil ||
		!slices.Equal(c.asked, []control.ReloadRequest{{DryRun: true, Remove: true}}) {
		t.Errorf("%+v, %v; asked %+v", got, err, c.asked)
	}
	c.Err = &control.Problem{
		Status: 422, Code: control.CodeBadConfig, Detail: "config.toml:1: a",
		Faults: []string{"config.toml:1: a", "config.toml:2: b"},
	}
	_, err = s.client.ReloadConfig(timeout(t), control.ReloadRequest{})
	if p := wantProblem(t, err, 422, control.CodeBadConfig); len(p.Faults) != 2 {
		t.Errorf("faults = %q", p.Faults)
	}
	c.Panics = true
	_, err = s.client.ReloadConfig(timeout(t), control.ReloadRequest{})
	wantProblem(t, err, 500, control.CodeInternal)
}

// A client that goes away leaves nothing half done.
func TestReloadOutlivesItsRequest(t *testing.T) {
	c := &configuration{Blocks: make(chan struct{})}
	s := serve(t, &gateways{}, func(o *httpapi.Options) { o.Config = c })
	ctx, cancel := context.WithCancel(timeout(t))
	gone := make(chan error, 1)
	go func() {
		_, err := s.client.ReloadConfig(ctx, control.ReloadRequest{})
		gone <- err
	}()
	eventually(t, "the reload to begin", func() bool { n, _ := c.count(); return n == 1 })
	cancel()
	if err := <-gone; err == nil {
		t.Error("there is an answer")
	}
	close(c.Blocks)
	eventually(t, "its end", func() bool { _, n := c.count(); return n == 1 })
}
