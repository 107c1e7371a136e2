package gateway

import (
	"cmp"
	"time"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/gatewayconfig"
	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/host/internal/view"
	"github.com/gatehost/gatehost/shared/control"
)

// Status returns the gateway's state in the API's words. The uptime is computed now, not when something was last
// written (B008).
func (g *Gateway) Status() control.Gateway {
	snap := g.engine.Snapshot()
	s, cfg, launched := snap.State, g.conf(), g.asLaunched()
	out := control.Gateway{
		Name: g.name, State: string(s.Public()), Phase: string(s.Phase), Ready: g.ready(s), Owner: string(s.Owner()),
		LaunchID: string(s.Launch), PID: s.Process.PID, Port: cmp.Or(s.Process.Port, launched.Port),
		ConnectedAt: control.At(s.ConnectedAt), ReconnectAttempts: view.Attempts(s, cfg.Reconnect.StableAfter, time.Now()),
		Restarts: s.Restarts, Adopted: s.Adopted, Drift: s.Drift, Error: view.Problem(s.Err), Output: g.outputStatus(),
		Launcher: launched.Launcher, Doctors: cfg.Doctors, Classifiers: cfg.Classifiers, Unload: cfg.Unload,
		UnloadedServices: g.unloadedServices(),
	}
	if since := view.UptimeFrom(s); !since.IsZero() {
		out.UptimeMs = control.Ms(time.Since(since))
	}
	if s.Hello != nil {
		out.Version, out.BootID = s.Hello.Version, s.Hello.BootID
	}
	for _, c := range snap.Record.Conditions() {
		out.Conditions = append(out.Conditions, view.Condition(c))
	}
	if s.LastExit != nil {
		x := view.Exit(s.LastExit, snap.Record.ExitTail())
		out.LastExit = &x
	}
	if open, ok := g.engine.Session(); ok {
		st := open.Stats()
		out.Session = &control.Session{
			Protocol: st.Protocol, ConnID: st.ConnID, Scopes: st.Scopes, LastFrameAt: control.At(st.LastFrameAt),
			MissedPongs: st.MissedPongs, MissedTicks: st.MissedTicks, BadFrames: st.BadFrames,
		}
		if st.RTT > 0 {
			out.Session.RTTMs = control.Ms(st.RTT)
		}
	}
	out.Files = g.filesOf(launched)
	out.Liveness = view.Liveness(s, cfg.Liveness.Silence)
	out.LastStart, out.Reconnect, out.Health = snap.Record.LastStart(), snap.Record.Reconnect(), g.healthStatus(s)
	return out
}

// filesOf returns the files of a gateway in the API's words; nil when it is not known where they are.
func (c *core) filesOf(cfg *config.Gateway) *control.GatewayFiles {
	token, _ := c.tokenOf(cfg) // without it the places are the same
	r, err := c.buildWith(cfg, token)
	if err != nil || r.ConfigPath == "" {
		return nil
	}
	out := &control.GatewayFiles{
		Config: r.ConfigPath, StateDir: r.StateDir, DecidedBy: r.Place.By, Profile: r.Place.Profile,
		Includes: gatewayconfig.Includes(r.ConfigPath, r.Place.Roots),
	}
	if cfg.Launch.Profile == profile.OpenClaw {
		a, _ := c.accessOf(cfg, r, token) // of a file that cannot be understood the rest is known
		out.Auth = a.Mode
	}
	if out.DecidedBy == "" {
		out.DecidedBy = "launch.config_path" // of another profile
	}
	return out
}

// outputStatus returns the counts of output in the API's words; nil before the first output.
func (g *Gateway) outputStatus() *control.Output {
	got, stats := g.lines.total(), g.env.Journal.Stats()
	if got.Read == 0 && got.Gaps == 0 && stats.Excess[g.name] == 0 {
		return nil
	}
	return &control.Output{
		Read: got.Read, Classified: got.Classified, Unclassified: got.Unclassified,
		Stored: stats.Stored[g.name], Dropped: stats.Dropped[g.name] + g.env.Hub.Unstored()[g.name],
		DroppedEvents: stats.Excess[g.name],
		LostLines:     got.GapLines, LostBytes: got.GapBytes, Gaps: got.Gaps, Repeated: got.Repeated, HiddenBy: got.DroppedBy,
	}
}
