package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

const defaultStartTimeout = 30 * time.Second

// killBound is how long a killed process, or go-plugin's part of it, may take to be gone.
const killBound = 2 * time.Second

// within waits for done, but not longer than d.
func within(d time.Duration, done <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// supervisor keeps one plugin running. Its goroutine is the only one that starts and ends processes; everybody else looks at
// the slot.
type supervisor struct {
	opts      Options
	spec      Spec
	log       hclog.Logger
	socketDir string
	slot      *slot
	restart   chan struct{} // a wish; one is enough
	suspect   chan struct{} // a call got no answer: look now
}

func newSupervisor(opts Options, s Spec, socketDir string) *supervisor {
	return &supervisor{
		opts: opts, spec: s, log: opts.Log.Named("plugin." + s.Name), socketDir: socketDir,
		slot:    newSlot(s.Name, opts.Timing.CallWait, opts.OnState),
		restart: make(chan struct{}, 1), suspect: make(chan struct{}, 1),
	}
}

func (s *supervisor) requestRestart() { poke(s.restart) }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run is the life of a plugin over all its processes.
func (s *supervisor) run(ctx context.Context) {
	defer s.slot.stop()
	failures := 0
	for ctx.Err() == nil {
		s.slot.starting()
		gen, err := s.start(ctx)
		if err == nil {
			began := time.Now()
			s.slot.running(gen)
			s.log.Info("plugin is running", "pid", gen.proc.pid(), "version", gen.info.Version)
			err = s.watch(ctx, gen)
			s.end(gen)
			if time.Since(began) >= s.opts.Timing.HealthyAfter {
				failures = 0
			}
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errRestart) {
			failures = 0
			continue
		}
		failures++
		s.rest(ctx, failures, err)
	}
}

// rest waits before the next start; an open circuit waits longer and says so.
func (s *supervisor) rest(ctx context.Context, failures int, err error) {
	t := s.opts.Timing
	delay := t.BackoffBase << min(failures-1, 10)
	delay = min(delay, t.BackoffMax)
	state := BackingOff
	if failures >= t.CircuitAfter {
		state, delay = Failed, t.CircuitRetry
	}
	s.log.Error("plugin is down", "error", err, "hint", fault.HintOf(err), "state", state, "delay", delay)
	s.slot.down(state, err)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.restart:
	case <-ctx.Done():
	}
}

var errRestart = errors.New("a restart was requested")

// generation is one process of a plugin and the connection to it.
type generation struct {
	proc   *process
	client *goplugin.Client
	conn   *grpc.ClientConn
	info   plugin.Info
	logs   *logs
	exe    *executable
	gone   chan struct{} // closed when calls to it make no sense any more
}

// start makes a process and brings it to the point where it can be called. It is bounded by StartTimeout, whatever the plugin
// does, and by ctx.
func (s *supervisor) start(ctx context.Context) (*generation, error) {
	exe, err := resolve(s.spec, s.opts.PluginDir)
	if err != nil {
		return nil, err
	}
	gen := &generation{exe: exe, logs: newLogs(s.log), gone: make(chan struct{})}
	ctx, cancel := context.WithTimeout(ctx, s.spec.StartTimeout)
	defer cancel()
	if err := s.connect(ctx, gen); err != nil {
		err = s.explain(gen, err)
		s.end(gen)
		return nil, err
	}
	if err := s.introduce(ctx, gen); err != nil {
		s.end(gen)
		return nil, err
	}
	return gen, nil
}

// connect starts the process and shakes hands.
func (s *supervisor) connect(ctx context.Context, gen *generation) error {
	dataDir := filepath.Join(s.opts.DataDir, s.spec.Name)
	if err := checkSocketDir(s.socketDir); err != nil {
		return err
	}
	_ = os.RemoveAll(s.socketDir) // what a host that was killed left
	for _, dir := range []string{dataDir, s.socketDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	made := make(chan *process, 1) // 1: RunnerFunc is called once
	gen.client = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: pluginkit.Handshake(), Plugins: pluginkit.ClientPlugins(),
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		AutoMTLS:         true, SkipHostEnv: true, StartTimeout: s.spec.StartTimeout,
		Logger:           hclog.NewNullLogger(), // what matters is said by us
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: s.socketDir},
		// What a plugin prints after the handshake comes by a stream of go-plugin's own; without these it is lost (R39).
		SyncStdout: &lineWriter{take: gen.logs.take}, SyncStderr: &lineWriter{take: gen.logs.take},
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(pluginkit.MaxMessage), grpc.MaxCallSendMsgSize(pluginkit.MaxMessage),
		)},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
			p, err := newProcess(s.spec, gen.exe, dataDir, cmd.Env, gen.logs)
			if err == nil {
				made <- p
			}
			return p, err
		},
	})
	defer func() { // whatever the way out: the process, if there is one, is known to end()
		select {
		case gen.proc = <-made:
		default:
		}
	}()
	// go-plugin waits for a silent plugin with its lock held, and for the connection without a bound; both end early only when the
	// process does (R4).
	shaken := make(chan error, 1)
	go func() {
		conn, err := shakeHands(gen.client)
		gen.conn = conn
		shaken <- err
	}()
	select {
	case err := <-shaken:
		return err
	case <-ctx.Done():
	}
	select {
	case p := <-made: // maybe only now
		p.kill()
		made <- p                        // for end()
		if err := <-shaken; err != nil { // of our kill
			s.log.Trace("the handshake was given up", "error", err)
		}
	case err := <-shaken:
		s.log.Trace("the handshake was given up", "error", err)
	}
	return context.Cause(ctx)
}

func shakeHands(client *goplugin.Client) (*grpc.ClientConn, error) {
	protocol, err := client.Client()
	if err != nil {
		return nil, err
	}
	raw, err := protocol.Dispense(pluginkit.PluginName)
	if err != nil {
		return nil, err
	}
	conn, ok := raw.(*grpc.ClientConn)
	if !ok {
		return nil, errors.New("go-plugin gave no gRPC connection")
	}
	return conn, nil
}

// explain turns go-plugin's errors into one that names the plugin, its file and what to do.
func (s *supervisor) explain(gen *generation, err error) error {
	if _, ours := errors.AsType[*fault.Error](err); ours {
		return err
	}
	why, hint := err.Error(), "start it by hand with --describe to see what it says"
	lines := gen.logs.last()
	switch {
	case errors.Is(err, context.DeadlineExceeded), strings.Contains(why, "timeout while waiting for plugin to start"):
		why = fmt.Sprintf("it said nothing for start_timeout (%v)", s.spec.StartTimeout)
		hint = "look at its last lines; raise plugins." + s.spec.Name + ".start_timeout if it is only slow"
	case strings.Contains(why, "Unrecognized remote plugin message"), strings.Contains(why, "Incompatible API version") && len(lines) == 0:
		why = "it is not a gatehost plugin: it did not begin with a handshake"
		hint = "name a plugin in plugins." + s.spec.Name + ".path"
	case strings.Contains(why, "ncompatible"):
		why = "it speaks another version of the plugin protocol: " + why
		hint = fmt.Sprintf("upgrade the plugin, or gatehost (it speaks %d)", pluginkit.ProtocolVersion)
	case strings.Contains(why, "exec format error"):
		why = "it is not a program of this platform (" + runtime.GOOS + "/" + runtime.GOARCH + ")"
		hint = "install the build for this platform"
	case strings.Contains(why, "plugin exited before we could connect"):
		why = "it ended at once"
	}
	f := refuse(fault.Unavailable, s.spec, gen.exe.path, why+tail(lines), hint)
	return f
}

// tail shows the last lines of a plugin in its error.
func tail(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "; its last lines: " + strings.Join(lines[max(0, len(lines)-5):], " | ")
}

// introduce asks who it is and hands over its table.
func (s *supervisor) introduce(ctx context.Context, gen *generation) error {
	client := pluginkit.NewClient(gen.conn)
	info, err := client.Describe(ctx, plugin.HostInfo{Version: s.opts.Version, OS: runtime.GOOS, Arch: runtime.GOARCH})
	if err != nil {
		return s.refuse(gen, fault.CodeOf(err), "it cannot describe itself: "+err.Error(), "tell its author")
	}
	if err := s.negotiate(gen, info); err != nil {
		return err
	}
	gen.info = info
	req := plugin.ConfigureRequest{
		Config: s.spec.Config, Name: s.spec.Name, Grants: s.granted(info),
		Directories: plugin.Directories{Data: filepath.Join(s.opts.DataDir, s.spec.Name)},
	}
	if info.Serves(plugin.KindLauncher) {
		req.Directories.Run, req.Directories.Runtime = s.opts.RunDir, s.opts.RuntimeDir
		if err := os.MkdirAll(s.opts.RunDir, 0o700); err != nil { // the contract: all of them exist
			return s.refuse(gen, fault.Internal, err.Error(), "make the directory writable for the host's user")
		}
	}
	if len(req.Config) == 0 {
		req.Config = []byte("{}")
	}
	diagnostics, err := client.Configure(ctx, req)
	if err != nil {
		return s.refuse(gen, fault.CodeOf(err), "it cannot be configured: "+err.Error(), fault.HintOf(err))
	}
	return s.judge(gen, diagnostics)
}

func (s *supervisor) refuse(gen *generation, code fault.Code, why, hint string) error {
	return refuse(code, s.spec, gen.exe.path, why, hint)
}

// negotiate checks that host and plugin have a version of each service in common, in words (needs.md 13).
func (s *supervisor) negotiate(gen *generation, info plugin.Info) error {
	if len(info.Services) == 0 {
		return s.refuse(gen, fault.Unsupported, "it serves nothing that this host knows", "upgrade gatehost, or the plugin")
	}
	for _, svc := range info.Services {
		side := ""
		switch {
		case svc.MinVersion > pluginkit.ServiceVersion:
			side = "gatehost"
		case svc.MaxVersion < pluginkit.ServiceVersion:
			side = "the plugin"
		default:
			continue
		}
		return s.refuse(gen, fault.Unsupported, fmt.Sprintf("it speaks the %s service in versions %d to %d, this host speaks %d",
			svc.Kind, svc.MinVersion, svc.MaxVersion, pluginkit.ServiceVersion), "upgrade "+side)
	}
	return nil
}

// granted is what the operator gives, of what the plugin wants.
func (s *supervisor) granted(info plugin.Info) []string {
	var out []string
	for _, g := range s.spec.Grants {
		if slices.Contains(info.WantedGrants, g) {
			out = append(out, g)
		}
	}
	return out
}

// judge logs remarks and refuses the table when one is an error; all are told at once, with their place in config.toml.
func (s *supervisor) judge(gen *generation, diagnostics []plugin.Diagnostic) error {
	var faults []string
	for _, d := range diagnostics {
		text := d.Message
		if d.Path != "" {
			text = "plugins." + s.spec.Name + ".config." + d.Path + ": " + text
		}
		if where := s.spec.Where(d.Path); where != "" {
			text = where + ": " + text
		}
		if d.Hint != "" {
			text += " (" + d.Hint + ")"
		}
		if d.Severity == plugin.SeverityError {
			faults = append(faults, text)
		} else {
			s.log.Warn("remark about the plugin's configuration", "remark", text)
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return s.refuse(gen, fault.InvalidArgument, "it refuses its configuration: "+strings.Join(faults, "; "), "correct config.toml")
}

// watch waits until the process ends, stops answering, or is no longer wanted.
func (s *supervisor) watch(ctx context.Context, gen *generation) error {
	health := healthpb.NewHealthClient(gen.conn)
	ticker := time.NewTicker(s.opts.Timing.HealthEvery)
	defer ticker.Stop()
	misses := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-gen.proc.done:
			return s.refuse(gen, fault.PluginGone, fmt.Sprintf("it ended (%s)%s", gen.proc.cmd.ProcessState, tail(gen.logs.last())), "")
		case <-s.restart:
			return errRestart
		case <-s.suspect:
		case <-ticker.C:
		}
		if s.healthy(ctx, gen, health) {
			misses = 0
			continue
		}
		if misses++; misses >= 2 {
			gen.proc.kill() // asking it to end would be asking in vain
			return s.refuse(gen, fault.PluginGone, "it stopped answering", "")
		}
		poke(s.suspect) // the second look comes at once
	}
}

func (s *supervisor) healthy(ctx context.Context, gen *generation, health healthpb.HealthClient) bool {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timing.HealthTimeout)
	defer cancel()
	r, err := health.Check(ctx, &healthpb.HealthCheckRequest{Service: goplugin.GRPCServiceName})
	return err == nil && r.GetStatus() == healthpb.HealthCheckResponse_SERVING
}

// end closes a generation. A plugin that behaves ends by its death pipe; any other is killed by our own handle first, and only
// then is go-plugin told, beside us, since its Kill may wait for what a dead plugin left (R4, R5).
func (s *supervisor) end(gen *generation) {
	s.slot.leave(gen)
	if gen.proc != nil && gen.proc.pid() != 0 {
		gen.proc.letGo()
		_ = within(s.opts.Timing.CloseGrace, gen.proc.done)
		gen.proc.kill()
		if !within(s.opts.Timing.CloseGrace+killBound, gen.proc.done) { // the kernel holds it, in a dead file system for example
			s.log.Error("plugin does not end even by SIGKILL; it is left behind", "pid", gen.proc.pid())
		}
	}
	if gen.client != nil {
		told := make(chan struct{})
		go func() {
			defer close(told)
			gen.client.Kill()
		}()
		_ = within(killBound, told) // usually at once; a goroutine of go-plugin that hangs on is none of a caller's business
	}
	_ = gen.exe.file.Close()
	_ = os.RemoveAll(s.socketDir)
}
