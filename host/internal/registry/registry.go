// Package registry holds the set of gateways in force and starts and stops them together. It knows no reload: that replaces the set as a whole.
package registry

import (
	"sync/atomic"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/gateway"
	"github.com/gatehost/gatehost/shared/control"
)

// Set is the active configuration with what was made of it. It is immutable: a reload replaces the whole value, so that plugins and gateways
// that are taken from one set fit each other.
type Set struct {
	Config    *config.Config
	Gateways  map[string]*gateway.Gateway
	Sandboxes map[string]control.Sandbox // of the plugins that run
}

// Ordered is the gateways by name.
func (s *Set) Ordered() []*gateway.Gateway {
	out := make([]*gateway.Gateway, 0, len(s.Gateways))
	for _, name := range s.Config.GatewayNames() {
		if g, ok := s.Gateways[name]; ok {
			out = append(out, g)
		}
	}
	return out
}

// Registry is where the set in force is found. Safe for concurrent use.
type Registry struct{ set atomic.Pointer[Set] }

// New is the registry of a host that has a configuration and nothing made of it.
func New(cfg *config.Config) *Registry {
	r := &Registry{}
	r.Replace(&Set{Config: cfg})
	return r
}

// Now is the set in force. Take it once where two things have to fit.
func (r *Registry) Now() *Set { return r.set.Load() }

// Config is the configuration in force.
func (r *Registry) Config() *config.Config { return r.Now().Config }

// Replace puts another set in force.
func (r *Registry) Replace(s *Set) { r.set.Store(s) }
