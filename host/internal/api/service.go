// Package api answers the requests of the control socket: status, commands, calls, logs, doctors, health and
// configurations of gateways, and plugins. It implements the ports that httpapi declares, from the set of gateways in
// force. It must not import reload: a reload reaches the host by the port Configuration of httpapi.
package api

import (
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/conditions"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/httpapi"
	"github.com/gatehost/gatehost/host/internal/journal"
	"github.com/gatehost/gatehost/host/internal/metrics"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/registry"
)

// Options are the parts of the host that the service reads.
type Options struct {
	Version    string
	Started    time.Time // of the host
	Log        hclog.Logger
	Registry   *registry.Registry
	Plugins    *pluginhost.Host
	Conditions *conditions.Set
	Hub        *events.Hub
	Journal    *journal.Journal
	Metrics    *metrics.Recorder
	LogDropped func() uint64 // lines that the host's log could not write
}

// Service answers the control socket. It is safe for concurrent use.
type Service struct {
	o        Options
	inflight inflight
}

var (
	_ httpapi.Gateways = (*Service)(nil)
	_ httpapi.Output   = (*Service)(nil)
	_ httpapi.Services = (*Service)(nil)
	_ httpapi.Doctors  = (*Service)(nil)
	_ httpapi.Health   = (*Service)(nil)
	_ httpapi.Configs  = (*Service)(nil)
	_ httpapi.Plugins  = (*Service)(nil)
)

// New makes the service of a host.
func New(o Options) *Service { return &Service{o: o} }

// Drain refuses further calls to gateways and waits for those in flight, until 5 seconds have passed or hurry is
// closed.
func (s *Service) Drain(hurry <-chan struct{}) { s.inflight.drain(hurry) }

// Server makes the server of the control socket. reload is its port for reloads; isPlugin reports whether a process is
// one of the host's plugins.
func (s *Service) Server(reload httpapi.Configuration, isPlugin func(pid int) bool) *httpapi.Server {
	return httpapi.New(httpapi.Options{
		Gateways: s, Services: s, Output: s, Doctors: s, Configs: s, Health: s, Plugins: s, Config: reload,
		Metrics: s.metricsHandler(), Events: s.o.Hub, At: s.at, Log: s.o.Log.Named("control"), Version: s.o.Version,
		IsPlugin: func(pid, pgid int) bool { return isPlugin(pid) || isPlugin(pgid) },
	})
}

// metricsHandler returns the handler of the metrics; nil when metrics are switched off.
func (s *Service) metricsHandler() http.Handler {
	if !s.o.Registry.Config().Metrics.Enabled {
		return nil
	}
	return s.o.Metrics.Handler()
}

// at returns the cursor after which the events of a moment and later begin; 0 when only memory has such events.
func (s *Service) at(t time.Time) uint64 {
	cursor, err := s.o.Journal.At(t)
	if err != nil {
		s.o.Log.Warn("cannot read the journal", "error", err)
		return 0
	}
	return cursor
}

// Scrape returns the figures that the metrics show.
func (s *Service) Scrape() metrics.Snapshot {
	published, missed := s.o.Hub.Counts()
	kept := s.o.Journal.Stats()
	out := metrics.Snapshot{
		Version: s.o.Version, EventsPublished: published, EventsUnstored: missed + kept.Lost,
		JournalFaulty: kept.Fault != nil, LogDropped: s.o.LogDropped(),
	}
	unstored := s.o.Hub.Unstored()
	for _, g := range s.o.Registry.Now().Ordered() {
		one := g.Scrape()
		one.Stored, one.Unstored = kept.Stored[one.Name], kept.Dropped[one.Name]+unstored[one.Name]
		out.Gateways = append(out.Gateways, one)
	}
	for _, p := range s.o.Plugins.Plugins() {
		out.Plugins = append(out.Plugins, metrics.Plugin{
			Name: p.Name, State: p.State, Restarts: p.Restarts, RSS: s.o.Plugins.RSS(p.Name),
		})
	}
	return out
}
