// Package registry holds the set of gateways in force, and starts and stops them together. It does not know reloads,
// which replace the set as a whole, and it does not know requests: it must not import api or reload.
package registry

import (
	"sync/atomic"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/gateway"
	"github.com/gatehost/gatehost/shared/control"
)

// Set is the active configuration with the gateways built from it. It is immutable: a reload replaces the whole value,
// so that plugins and gateways taken from one set fit each other.
type Set struct {
	Config    *config.Config
	Gateways  map[string]*gateway.Gateway
	Sandboxes map[string]control.Sandbox // of the plugins that run
}

// Ordered returns the gateways by name.
func (s *Set) Ordered() []*gateway.Gateway {
	out := make([]*gateway.Gateway, 0, len(s.Gateways))
	for _, name := range s.Config.GatewayNames() {
		if g, ok := s.Gateways[name]; ok {
			out = append(out, g)
		}
	}
	return out
}

// Registry points to the set in force. It is safe for concurrent use.
type Registry struct{ set atomic.Pointer[Set] }

// New makes the registry of a host that has a configuration and has built nothing from it yet.
func New(cfg *config.Config) *Registry {
	r := &Registry{}
	r.Replace(&Set{Config: cfg})
	return r
}

// Now returns the set in force. A caller takes it once when two parts of it have to fit each other.
func (r *Registry) Now() *Set { return r.set.Load() }

// Config returns the configuration in force.
func (r *Registry) Config() *config.Config { return r.Now().Config }

// Replace puts another set in force.
func (r *Registry) Replace(s *Set) { r.set.Store(s) }
