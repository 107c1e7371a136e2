package shimlauncher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/outlog"
)

// labelGateway keeps the host's name of the gateway among a shim's labels.
const labelGateway = "gatehost.gateway"

// Launcher runs gateways under gatehost-shim. All methods may be called concurrently; Setup comes first.
type Launcher struct {
	name string // of the plugin, for errors

	mu   sync.Mutex // guards the rest
	shim string
	dirs plugin.Directories
	// the run directory is used by no other machine or pid namespace: what is elsewhere has ended
	exclusive bool
	clients   map[string]*shim.Client // by launch id: as long as one is held, its gateway is not orphaned
}

var _ launcher.Launcher = (*Launcher)(nil)

// New makes a launcher that has to be set up; name is that of the plugin.
func New(name string) *Launcher { return &Launcher{name: name, clients: map[string]*shim.Client{}} }

// ConfigField describes the key of a plugin's table that Setup wants as its second argument.
func ConfigField() plugin.ConfigField {
	return plugin.ConfigField{
		Path: "shim", Type: "string",
		Doc: "path of gatehost-shim, ~/ is the home directory; default: next to this plugin's directory, then in it",
	}
}

// Setup is what a plugin's Configure calls, with the value of "shim" in its table ("" for none) and the directories
// that it was given. A missing shim is a diagnostic. Setup removes what commands of Exec left behind in an earlier
// process.
func (l *Launcher) Setup(ctx context.Context, shim string, dirs plugin.Directories) ([]plugin.Diagnostic, error) {
	path, err := findShim(shim)
	if err != nil {
		return []plugin.Diagnostic{{ //nolint:nilerr // a fault in the table is a diagnostic, not an error
			Severity: plugin.SeverityError, Path: ConfigField().Path, Message: err.Error(),
			Hint: "set shim to the path of the gatehost-shim binary of this release",
		}}, nil
	}
	for name, dir := range map[string]string{"run": dirs.Run, "runtime": dirs.Runtime} {
		if !filepath.IsAbs(dir) {
			return nil,
				fault.New(fault.InvalidArgument, fmt.Sprintf("cannot configure %s: %s directory %q is not absolute",
					l.name, name, dir))
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fault.Wrap(fault.Internal, "cannot configure "+l.name, err)
		}
	}
	l.mu.Lock()
	l.shim, l.dirs = path, dirs
	l.mu.Unlock()
	removeLeftovers(ctx, filepath.Join(dirs.Run, execDir))
	return nil, nil
}

// Exclusive says that no other machine and no other pid namespace uses the run directory: a launch of another place
// has ended then. The operator promises it; where that is not true, a gateway can run twice.
func (l *Launcher) Exclusive(yes bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.exclusive = yes
}

// seen is a bundle as the operator wants it seen.
func (l *Launcher) seen(b shim.Bundle) shim.Bundle {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.exclusive {
		return b.Claim()
	}
	return b
}

// findShim looks where releases have it: gatehost and gatehost-shim side by side, plugins in a directory below.
func findShim(configured string) (string, error) {
	if rest, home := strings.CutPrefix(configured, "~/"); home {
		dir, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("cannot find gatehost-shim: %q is in the home directory, and HOME is not set", configured)
		}
		configured = filepath.Join(dir, rest)
	}
	candidates := []string{configured}
	if configured == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("cannot find gatehost-shim: %w", err)
		}
		dir := filepath.Dir(self)
		candidates = []string{filepath.Join(dir, "..", shimName), filepath.Join(dir, shimName)}
	}
	for _, path := range candidates {
		fi, err := os.Stat(path)
		if err != nil || fi.IsDir() || fi.Mode().Perm()&0o111 == 0 {
			continue
		}
		return filepath.Abs(path)
	}
	return "", fmt.Errorf("cannot find gatehost-shim: no executable file at %s", strings.Join(candidates, " or "))
}

const shimName = "gatehost-shim"

// Close closes the connections to all shims; gateways go on. It is for tests and embedders: a plugin just ends.
func (l *Launcher) Close() {
	l.mu.Lock()
	held := l.clients
	l.clients = map[string]*shim.Client{}
	l.mu.Unlock()
	for _, c := range held {
		c.Close()
	}
}

func (l *Launcher) place() (shimPath string, dirs plugin.Directories, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shim == "" {
		return "", dirs, fault.New(fault.FailedPrecondition, l.name+" is not configured yet")
	}
	return l.shim, l.dirs, nil
}

// Launch starts a gateway under a shim of its own.
func (l *Launcher) Launch(ctx context.Context, req launcher.LaunchRequest) (launcher.Launched, error) {
	path, dirs, err := l.place()
	if err != nil {
		return launcher.Launched{}, err
	}
	dir := filepath.Join(dirs.Run, req.LaunchID)
	spec, err := l.specOf(req.LaunchID, req.Process)
	if err != nil {
		return launcher.Launched{}, err
	}
	spec.Socket = shim.SocketPath(dirs.Runtime, dir)
	spec.Grace, spec.OrphanGrace = req.Grace, req.OrphanGrace
	if req.OutputMaxBytes > outlog.MaxSize {
		return launcher.Launched{}, fault.New(fault.InvalidArgument,
			fmt.Sprintf("cannot launch gateway: output of %d bytes is more than %d", req.OutputMaxBytes,
				outlog.MaxSize))
	}
	if req.OutputMaxBytes > 0 {
		spec.OutputMaxBytes = max(int64(req.OutputMaxBytes), outlog.MinSize)
	}
	spec.Labels = map[string]string{labelGateway: req.Gateway.Name}
	maps.Copy(spec.Labels, req.Labels)

	// so that a living launch is joined; Start reports a bundle that cannot be recovered
	_, _ = shim.RecoverBundle(ctx, dirs.Runtime, dir)
	started, err := shim.Start(ctx, shim.StartOptions{ShimPath: path, BundleDir: dir, Spec: spec})
	if err != nil {
		return launcher.Launched{}, faultOf(err)
	}
	if started.Client != nil {
		l.keep(req.LaunchID, started.Client)
	}
	return launcher.Launched{Instance: instance(started.Bundle, started.State), AlreadyLaunched: started.Already}, nil
}

// specOf turns a process of the contract into a shim's.
func (l *Launcher) specOf(id string, p plugin.ProcessSpec) (shim.Spec, error) {
	if p.User != "" {
		if me, err := user.Current(); err != nil || (p.User != me.Username && p.User != me.Uid) {
			return shim.Spec{},
				fault.New(fault.Unsupported, fmt.Sprintf("cannot run as user %q: %s runs all as its own user", p.User,
					l.name)).
					WithHint("run a host as that user, or remove launch.user")
		}
	}
	env := make([]shim.EnvVar, len(p.Env))
	for i, v := range p.Env {
		env[i] = shim.EnvVar{Name: v.Name, Value: v.Value, Secret: v.Secret}
	}
	return shim.Spec{LaunchID: id, Argv: p.Argv, Env: env, Cwd: p.Cwd}, nil
}

// List reads all bundles. It connects to none; Recover does. Only for a bundle that cannot be read it looks for what
// lives; when nothing does, the bundle is reported as broken and quarantined, and reported for a day.
func (l *Launcher) List(ctx context.Context, gateway string) (launcher.Listing, error) {
	_, dirs, err := l.place()
	if err != nil {
		return launcher.Listing{}, err
	}
	bundles, err := shim.List(dirs.Run)
	if err != nil {
		return launcher.Listing{}, faultOf(err)
	}
	var listing launcher.Listing
	for i, b := range bundles {
		if bundles[i], err = shim.RecoverBundle(ctx, dirs.Runtime, b.Dir); errors.Is(err, shim.ErrNoBundle) {
			bundles[i].LaunchID = "" // released, or quarantined, meanwhile
		}
		bundles[i] = l.seen(bundles[i])
	}
	bundles = slices.DeleteFunc(bundles, func(b shim.Bundle) bool { return b.LaunchID == "" })
	for _, b := range append(bundles, l.heldBeyond(ctx, bundles)...) {
		switch {
		case b.Status == shim.StatusBroken:
			if _, err := shim.Quarantine(ctx, dirs.Runtime, b.Dir); err != nil { // not moved
				listing.Broken = append(listing.Broken, launcher.BrokenBundle{Path: b.Dir, Reason: b.Problem.Error()})
			}
		case b.Status == shim.StatusNew && b.Spec == nil:
			// Made by the host in advance; Launch was never called for it.
		default:
			i := instance(b, stateOf(b))
			if gateway == "" || i.Gateway == gateway {
				listing.Instances = append(listing.Instances, i)
			}
		}
	}
	for _, a := range shim.ListQuarantined(dirs.Run) {
		listing.Broken = append(listing.Broken, launcher.BrokenBundle{Path: a.Dir, Reason: a.Reason})
	}
	sortByStart(listing.Instances)
	return listing, nil
}

// settle is how long a bundle without a trace of its shim is watched: the shim of a plugin that just died may be about
// to begin.
const settle = 2 * time.Second

// Recover takes up a launch of an earlier process and keeps a connection to its shim.
func (l *Launcher) Recover(ctx context.Context, launchID string) (launcher.Instance, error) {
	b, err := l.bundle(ctx, launchID)
	for until := time.Now().Add(settle); err == nil && undecided(b) &&
		time.Now().Before(until); b, err = l.bundle(ctx, launchID) {
		if err := pause(ctx); err != nil {
			return launcher.Instance{}, err
		}
	}
	if err != nil {
		return launcher.Instance{}, err
	}
	if b.Status == shim.StatusNew {
		return launcher.Instance{},
			fault.New(fault.NotFound, fmt.Sprintf("cannot recover launch %s: nothing was launched", launchID))
	}
	return l.look(ctx, b)
}

func undecided(b shim.Bundle) bool {
	return b.Status == shim.StatusNew || b.Status == shim.StatusStarting
}

// Inspect returns the facts of this moment.
func (l *Launcher) Inspect(ctx context.Context, launchID string) (launcher.Inspection, error) {
	b, err := l.bundle(ctx, launchID)
	if err != nil {
		return launcher.Inspection{}, err
	}
	i, err := l.look(ctx, b)
	if err != nil {
		return launcher.Inspection{}, err
	}
	usage, err := b.Usage()
	if err != nil {
		usage.Processes, usage.RSSBytes = 0, 0 // not known here
	}
	return launcher.Inspection{Instance: i, RSSBytes: usage.RSSBytes, Processes: usage.Processes}, nil
}

// look returns the instance as its shim describes it, or as its files do when there is no shim.
func (l *Launcher) look(ctx context.Context, b shim.Bundle) (launcher.Instance, error) {
	if b.ShimAlive {
		c, err := l.client(ctx, b.LaunchID)
		if err == nil {
			var state shim.State
			if state, err = c.State(ctx); err == nil {
				return instance(b, state), nil
			}
		}
		if !errors.Is(err, shim.ErrShimGone) {
			return launcher.Instance{}, faultOf(err)
		}
		if b, err = l.bundle(ctx, b.LaunchID); err != nil { // it went meanwhile
			return launcher.Instance{}, err
		}
	}
	return instance(b, stateOf(b)), nil
}

// Signal sends one signal to the gateway's own process.
func (l *Launcher) Signal(ctx context.Context, launchID, signal string) error {
	b, err := l.bundle(ctx, launchID)
	if err != nil {
		return err
	}
	switch {
	case b.Status == shim.StatusUnwatched:
		return faultOf(b.Signal(signal))
	case !b.ShimAlive:
		return faultOf(fmt.Errorf("cannot signal launch %s: %w", launchID, shim.ErrEnded))
	}
	c, err := l.client(ctx, launchID)
	if err == nil {
		err = c.Signal(ctx, signal)
	}
	if errors.Is(err, shim.ErrShimGone) && ctx.Err() == nil { // it cannot be reached; the gateway is known all the same
		err = b.Signal(signal)
	}
	return faultOf(err)
}

// Stop ends an instance, with the help of its shim if there is one that can be reached.
func (l *Launcher) Stop(ctx context.Context, launchID string, grace time.Duration) (launcher.Stopped, error) {
	for {
		b, err := l.bundle(ctx, launchID)
		if err != nil {
			return launcher.Stopped{}, err
		}
		if !b.ShimAlive {
			stopped, err := b.StopUnwatched(ctx, grace)
			return stoppedOf(stopped, b.Exit), faultOf(err)
		}
		c, err := l.client(ctx, launchID)
		if err == nil {
			var stopped shim.Stopped
			if stopped, err = c.Stop(ctx, grace); !errors.Is(err, shim.ErrShimGone) {
				return stoppedOf(stopped, &stopped.Exit), faultOf(err)
			}
		}
		if !errors.Is(err, shim.ErrShimGone) || ctx.Err() != nil {
			return launcher.Stopped{}, faultOf(err)
		}
		if b.State.Shim.Alive() { // its socket was removed and cannot be made again, or it was stopped
			stopped, e, err := b.StopUnreachable(ctx, grace)
			return stoppedOf(stopped, e), faultOf(err)
		}
	}
}

func stoppedOf(s shim.Stopped, e *shim.Exit) launcher.Stopped {
	return launcher.Stopped{Exit: exit(e), Killed: s.Killed, Swept: s.Swept}
}

// Release ends the shim and removes the bundle.
func (l *Launcher) Release(ctx context.Context, launchID string) error {
	b, err := l.bundle(ctx, launchID)
	if fault.CodeOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if b.Live() {
		return faultOf(fmt.Errorf("cannot release launch %s: %w", launchID, shim.ErrRunning))
	}
	if b.ShimAlive {
		c, err := l.client(ctx, launchID)
		if err == nil {
			err = c.Release(ctx)
		}
		if err != nil && !errors.Is(err, shim.ErrShimGone) {
			return faultOf(err)
		}
		if err := b.EndShim(ctx); err != nil { // it accepts no connection any more, and may still be ending
			return faultOf(fmt.Errorf("cannot release launch %s: its shim does not end: %w", launchID, err))
		}
	}
	l.forget(launchID)
	return faultOf(b.Remove())
}
