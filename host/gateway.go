package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/gatewayconfig"
	"github.com/gatehost/gatehost/host/internal/health"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// gateway is one supervised gateway: its configuration, its engine, and what both reach the world through.
type gateway struct {
	name   string
	host   *Host
	log    hclog.Logger
	engine *engine.Engine
	medic  *medic
	keeper *keeper
	config *gatewayconfig.Editor
	watch  *observer
	health *health.Monitor
	lines  lineCounts
	frames frameCounts
	tries  reconnects
	trace  startTrace
	ends   ends

	refused refusals

	last       atomic.Pointer[config.Gateway] // what held last; of conf
	launches   launchBook
	lastLaunch atomic.Pointer[string] // in words
	asked      asked

	end func() // ends the engine and waits for it; set when that begins, for the owner of reloads
}

func newGateway(h *Host, cfg *config.Gateway) (*gateway, error) {
	g := &gateway{name: cfg.Name, host: h, log: h.log.Named("gateway." + cfg.Name)}
	g.last.Store(cfg)
	var err error
	if g.keeper, err = newKeeper(g); err != nil {
		return nil, err
	}
	g.medic = newMedic(g)
	g.config = newConfigEditor(g)
	g.watch = newObserver(g)
	g.health = newHealth(g)
	g.engine = engine.New(cfg.Name, policyOf(cfg), engine.Ports{
		Launcher: launchersOf(g), Services: services{g}, Probe: port{g}, Launches: launches{g},
		Sessions: sessions{g}, Hooks: hooks{g}, Manners: newManners(g), Output: outputs{g}, Medic: g.medic, Observer: g.watch,
		VerifyMethod: cfg.Liveness.VerifyMethod, VerifyTimeout: cfg.Liveness.VerifyTimeout,
	}, g.log)
	return g, nil
}

// policyOf turns the operator's words into the lifecycle's policy.
func policyOf(c *config.Gateway) lifecycle.Policy {
	p := lifecycle.DefaultPolicy()
	p.NoProgress, p.StartTimeout, p.ProbeInterval = c.Ready.NoProgress, c.Ready.Timeout, c.Ready.Interval
	p.BackoffBase, p.BackoffMax, p.ReconnectAttempts = c.Reconnect.Base, c.Reconnect.Max, c.Reconnect.Attempts
	p.StableAfter, p.SlowRetry = c.Reconnect.StableAfter, c.Reconnect.SlowInterval
	if c.Reconnect.AfterCap == "stop" {
		p.SlowRetry = 0
	}
	p.Grace, p.Silence = c.Launch.Grace, c.Liveness.Silence
	p.Jitter = c.Reconnect.Jitter
	p.RestartCooldown, p.ReloadSettle, p.ReloadMinAge = c.Restart.Cooldown, c.Restart.ReloadSettle, c.Restart.ReloadMinAge
	p.Repair, p.OnConflict = lifecycle.RepairMode(c.Repair.Mode), lifecycle.ConflictMode(c.OnConflict)
	p.OnShimLoss = lifecycle.ShimLossMode(c.OnShimLoss)
	return p
}

// token is that of what runs, read afresh for each use (B125).
func (g *gateway) token() (string, error) { return g.tokenOf(g.asLaunched()) }

func (g *gateway) tokenOf(cfg *config.Gateway) (string, error) {
	if cfg.Token.Generate {
		return g.host.store.Token(g.name)
	}
	return cfg.Token.Read(os.Getenv)
}

// build is what runs, as it would be launched now.
func (g *gateway) build() (profile.Result, error) { return g.buildOf(g.asLaunched()) }

func (g *gateway) buildOf(cfg *config.Gateway) (profile.Result, error) {
	token, err := g.tokenOf(cfg)
	if err != nil {
		return profile.Result{}, err
	}
	home, _ := os.UserHomeDir() // without one the profile has no default places
	return profile.Build(profile.Launch{
		Launch: cfg.Launch, Port: cfg.Port, Token: token, Home: home, Inherited: os.Environ(), Foreign: g.host.tokensOfOthers(g),
	})
}

// tokensOfOthers names the variables of the host that hold the tokens of other gateways.
func (h *Host) tokensOfOthers(g *gateway) []string {
	var out []string
	cfg := h.config()
	own := cfg.Gateways[g.name]
	for name, other := range cfg.Gateways {
		if env := other.Token.Env; name != g.name && env != "" && (own == nil || env != own.Token.Env) {
			out = append(out, env)
		}
	}
	return out
}

// facts is what plugins may know about the gateway now.
func (g *gateway) facts() plugin.GatewayFacts {
	cfg := g.asLaunched()
	r, err := g.buildOf(cfg)
	if err != nil { // it will say so where it is launched; the rest is known all the same
		r = profile.Result{}
	}
	return g.factsOf(cfg, r)
}

// factsOf is facts for a launch that has been built; the zero Result leaves out what only a build tells.
func (g *gateway) factsOf(cfg *config.Gateway, r profile.Result) plugin.GatewayFacts {
	f := plugin.GatewayFacts{
		Name: g.name, Port: cfg.Port, Command: slices.Clone(cfg.Launch.Command), Cwd: cfg.Launch.Cwd, Profile: cfg.Launch.Profile,
		Host: plugin.HostInfo{Version: g.host.version, OS: runtime.GOOS, Arch: runtime.GOARCH},
	}
	f.StateDir, f.ConfigPath = r.StateDir, r.ConfigPath
	if argv := r.Process.Argv; len(argv) > 0 {
		f.Args = argv[len(f.Command):]
	}
	if g.engine != nil {
		s := g.engine.Snapshot().State
		f.State = string(s.Public())
		if s.LastHello != nil {
			f.Version = s.LastHello.Version
		}
	}
	return f
}

// redactor knows the gateway's secrets: of what runs, and of what would be launched. When they cannot be read it knows none: there is no
// process then that could print them.
func (g *gateway) redactor() *redact.Redactor {
	var secrets []string
	running, next := g.asLaunched(), g.conf()
	if r, err := g.buildOf(running); err == nil {
		secrets = secretsOf(r)
	}
	if next != running {
		if r, err := g.buildOf(next); err == nil {
			secrets = append(secrets, secretsOf(r)...)
		}
	}
	return redact.New(secrets)
}

func redactorOf(r profile.Result) *redact.Redactor { return redact.New(secretsOf(r)) }

func secretsOf(r profile.Result) []string {
	secrets := slices.Clone(r.Secrets)
	for _, v := range r.Process.Env {
		if v.Secret {
			secrets = append(secrets, v.Value)
		}
	}
	return secrets
}

// launches makes identities durable and builds launches under them.
type launches struct{ g *gateway }

func (l launches) Prepare(context.Context) (lifecycle.LaunchID, error) {
	id, err := l.g.host.store.PrepareLaunch(l.g.name)
	return lifecycle.LaunchID(id), err
}

func (l launches) Request(ctx context.Context, id lifecycle.LaunchID) (launcher.LaunchRequest, error) {
	cfg := l.g.conf() // of this launch, whatever holds when it is made
	l.g.launches.note(id, launched{cfg: cfg, by: cfg.Launcher})
	r, err := l.g.buildOf(cfg)
	if err != nil {
		return launcher.LaunchRequest{}, err
	}
	l.g.launching(cfg, r)
	l.g.align(ctx, r)
	l.g.keeper.launching(id, r.ConfigPath)
	orphan, labels := cfg.OrphanGrace, l.g.labels(cfg, r)
	l.g.launches.note(id, launched{labels: labels})
	return launcher.LaunchRequest{
		LaunchID: string(id), Gateway: l.g.factsOf(cfg, r), Process: r.Process, Grace: cfg.Launch.Grace, OrphanGrace: &orphan,
		OutputMaxBytes: uint64(max(cfg.Launch.OutputMaxSize, 0)), //nolint:gosec // not negative
		Labels:         labels,
	}, nil
}

func (l launches) Drift(i launcher.Instance) (drift []string, port int) {
	cfg := l.g.conf()
	l.g.launches.note(lifecycle.LaunchID(i.LaunchID), launched{cfg: cfg, labels: i.Labels})
	return driftOf(i.Labels, l.g.labelsOf(cfg)), portOf(i.Labels)
}

func (l launches) Discard(id lifecycle.LaunchID) {
	l.g.host.journal.Forget(string(id))
	l.g.host.launchOver(l.g.launches.forget(id))
	if err := l.g.host.store.DiscardLaunch(string(id)); err != nil {
		l.g.log.Warn("cannot remove what is left of a launch", "launch", string(id), "error", err)
	}
}

// services clears the platform services that the operator gave leave to unload, and reports the others.
type services struct{ g *gateway }

func (s services) Clear(ctx context.Context) error {
	for _, name := range s.g.conf().Unload {
		if err := s.clear(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (s services) clear(ctx context.Context, name string) error {
	u := s.g.host.plugins.Unloader(name)
	facts := s.g.facts()
	found, err := u.Inspect(ctx, facts)
	if errors.Is(err, fault.ErrUnsupported) {
		s.g.log.Debug("unloader has nothing to do here", "plugin", name, "reason", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot find out which services own the gateway: %w", err)
	}
	for _, svc := range found {
		if !svc.Loaded {
			continue
		}
		s.g.log.Warn("another service manager owns this gateway, too", "service", svc.ID, "pid", svc.PID, "reason", svc.Reason)
		done, err := u.Unload(ctx, facts, svc.ID)
		if err != nil {
			return fmt.Errorf("cannot unload %s: %w", svc.ID, err)
		}
		if len(done.Undo) > 0 {
			if err := s.g.host.store.KeepUndo(s.g.name, svc.ID, done.Undo); err != nil {
				s.g.log.Error("cannot store how to bring a service back", "service", svc.ID, "error", err)
			}
		}
		s.g.log.Info("service was unloaded", "service", svc.ID, "disable", svc.DisableCommand)
	}
	return nil
}

// uptimeFrom is when the gateway began to be there; the zero time while it does not run. An owned one counts from the begin of its
// process, so that the count goes on when another host adopts it.
func uptimeFrom(s lifecycle.State) time.Time {
	switch {
	case s.Public() != lifecycle.Running:
		return time.Time{}
	case s.Owner() == lifecycle.OwnerOwned && !s.SpawnedAt.IsZero():
		return s.SpawnedAt // by a clock that nobody sets
	case s.Owner() == lifecycle.OwnerOwned && !s.Process.StartedAt.IsZero():
		return s.Process.StartedAt
	default:
		return s.RunningSince
	}
}
