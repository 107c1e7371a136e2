package pluginhost

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

// generation is one process of a plugin and the connection to it.
type generation struct {
	spec   *Spec   // its configuration; once it is current, only the goroutine of run uses it
	change *change // that it was started for; nil: none
	proc   *process
	client *goplugin.Client
	conn   *grpc.ClientConn
	info   plugin.Info
	// services are those of info and the versions in which they are used.
	services []Service
	logs     *logs
	proof    *proof // of the host, to its process; nil: it speaks by mutual TLS
	exe      *executable
	dir      string        // of its socket, its own
	moved    chan struct{} // closed when another process replaced it: streams move there, calls under way may end here
	idle     chan struct{} // closed when it was replaced and no call is under way
	gone     chan struct{} // closed when calls to it are pointless
	calls    int           // under way; guarded by current

	recovered map[string]bool // launches taken over from the former process; used by the goroutine that replaces that
}

func newGeneration(spec *Spec, exe *executable, l *logs) *generation {
	return &generation{
		spec: spec, exe: exe, logs: l, moved: make(chan struct{}), idle: make(chan struct{}), gone: make(chan struct{}),
		recovered: map[string]bool{},
	}
}

// dead reports whether its process has ended.
func (g *generation) dead() bool {
	select {
	case <-g.proc.done:
		return true
	default:
		return false
	}
}

// permanent is a fault that another try does not cure: the operator has to change a file or the configuration.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

func isPermanent(err error) bool {
	_, ok := errors.AsType[permanent](err)
	return ok
}

// start starts a process with a configuration and prepares it for calls. It is bounded by StartTimeout, whatever the
// plugin does, and by ctx.
func (s *supervisor) start(ctx context.Context, spec *Spec) (*generation, error) {
	gen, err := s.prepare(ctx, spec)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, spec.StartTimeout)
	defer cancel()
	if err := s.shake(ctx, gen); err != nil {
		return nil, err
	}
	if err := s.introduce(ctx, gen); err != nil {
		s.end(gen)
		return nil, err
	}
	return gen, nil
}

// prepare finds and checks the program to run.
func (s *supervisor) prepare(ctx context.Context, spec *Spec) (*generation, error) {
	exe, err := resolve(ctx, *spec, s.opts.PluginDir)
	if err != nil {
		if exe != nil {
			s.current.looked(exe.manifest)
		}
		if fault.CodeOf(err) != fault.Internal { // a failing disk may work again
			err = permanent{err}
		}
		return nil, err
	}
	if err := s.fullDisk(spec); err != nil {
		_ = exe.file.Close()
		return nil, permanent{err}
	}
	return newGeneration(spec, exe, newLogs(s.log, s.opts.Secrets, func(line string) { s.onLogLine(spec, line) })), nil
}

// shake starts the process and does the handshake; Describe comes later.
func (s *supervisor) shake(ctx context.Context, gen *generation) error {
	err := s.connect(ctx, gen)
	if err != nil {
		err = s.explain(gen, err)
		s.end(gen)
	}
	return err
}

// connect starts the process and does the handshake.
func (s *supervisor) connect(ctx context.Context, gen *generation) error {
	dataDir := s.dataDir()
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return err
	}
	var err error
	if gen.dir, err = newSocketDir(s.socketDir); err != nil {
		return err
	}
	made := make(chan *process, 1) // 1: RunnerFunc is called once
	options := append(cleanAnswers(s.opts.Secrets), explainErrors(gen.spec.Name)...)
	options = append(options, grpc.WithDefaultCallOptions(
		grpc.MaxCallRecvMsgSize(pluginkit.MaxMessage), grpc.MaxCallSendMsgSize(pluginkit.MaxMessage),
	))
	var begun atomic.Pointer[process]
	spec := gen.spec // as it is now: it may be replaced once the process serves
	socket := gen.exe.socket(*spec)
	if socket {
		gen.proof = newProof(s.opts.Secrets)
		options = append(options, gen.proof.dialOptions()...)
		// the last dialer counts: it replaces go-plugin's
		options = append(options, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return begun.Load().dial(ctx, gen.dir)
		}))
	}
	gen.client = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: pluginkit.Handshake(), Plugins: pluginkit.ClientPlugins(),
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		AutoMTLS:         !socket, SkipHostEnv: true, StartTimeout: spec.StartTimeout,
		Logger:           hclog.NewNullLogger(), // this package logs what matters
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: gen.dir},
		// What a plugin prints after the handshake comes by a stream of go-plugin's own; without these it would be lost
		// (R39).
		SyncStdout: &lineWriter{take: gen.logs.takePrinted}, SyncStderr: &lineWriter{take: gen.logs.take},
		GRPCDialOptions: options,
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
			env := slices.Concat(cmd.Env, gen.proof.environment())
			p, err := newProcess(*spec, gen.exe, dataDir, gen.dir, env, gen.logs, s.opts)
			if err == nil {
				p.reach = func(r sandbox.Access) { s.onReach(spec, gen.exe, r) }
				s.live.add(p)
				begun.Store(p)
				made <- p
			}
			return p, err
		},
	})
	defer func() { // in any case end() must know the process, if there is one
		select {
		case gen.proc = <-made:
		default:
		}
	}()
	// go-plugin waits for a silent plugin with its lock held, and for the connection without a bound; both end early
	// only when the process ends (R4).
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
	case p := <-made: // it may exist only now
		p.kill()
		made <- p // for end()
		s.log.Trace("the handshake was abandoned", "error", <-shaken)
	case err := <-shaken:
		s.log.Trace("the handshake was abandoned", "error", err)
	}
	return context.Cause(ctx)
}

// newSocketDir makes a directory inside parent that no other generation has. Its name has one character while fewer
// than 36 generations live; usually one or two do.
func newSocketDir(parent string) (string, error) {
	if err := checkSocketDir(filepath.Join(parent, "0")); err != nil {
		return "", permanent{err}
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", err
	}
	for n := int64(0); ; n++ {
		dir := filepath.Join(parent, strconv.FormatInt(n, 36))
		if err := os.Mkdir(dir, 0o700); !errors.Is(err, fs.ErrExist) {
			return dir, err
		}
	}
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

// introduce calls Describe and Configure.
func (s *supervisor) introduce(ctx context.Context, gen *generation) error {
	info, err := s.describe(ctx, gen)
	if err != nil {
		return err
	}
	if err := s.negotiate(gen, info); err != nil {
		return err
	}
	if err := s.compare(gen, info); err != nil {
		return err
	}
	s.tellWithheld(gen)
	faults, err := s.configure(ctx, gen, gen.spec)
	if err == nil && faults != "" {
		err = permanent{tableRefused{s.refuse(gen, fault.InvalidArgument, "it refuses its configuration: "+faults,
			"correct config.toml")}}
	}
	return err
}

func (s *supervisor) describe(ctx context.Context, gen *generation) (plugin.Info, error) {
	info, err := pluginkit.NewClient(gen.conn).Describe(ctx, plugin.HostInfo{
		Version: s.opts.Version, OS: runtime.GOOS,
		Arch: runtime.GOARCH,
	})
	if err != nil {
		return plugin.Info{}, s.unintroduced(ctx, gen, "describe itself", err)
	}
	return info, nil
}

// configure sends a configuration. If the plugin returns faults it refuses the configuration and keeps the former one;
// after an error it is unknown which one it uses.
func (s *supervisor) configure(ctx context.Context, gen *generation, spec *Spec) (faults string, err error) {
	req := s.configuration(gen, spec)
	if req.Directories.Run != "" {
		if err := os.MkdirAll(req.Directories.Run, 0o700); err != nil { // the contract promises that all of them exist
			return "", s.refuse(gen, fault.Internal, err.Error(), "make the directory writable for the host's user")
		}
	}
	diagnostics, err := pluginkit.NewClient(gen.conn).Configure(ctx, req)
	if err != nil {
		return "", s.unintroduced(ctx, gen, "be configured", err)
	}
	return s.judge(spec, diagnostics), nil
}

// configuration returns the ConfigureRequest for a configuration.
func (s *supervisor) configuration(gen *generation, spec *Spec) plugin.ConfigureRequest {
	req := plugin.ConfigureRequest{
		Config: spec.Config, Name: spec.Name, Grants: granted(spec, gen.info),
		Directories: plugin.Directories{Data: s.dataDir()},
	}
	if gen.serves(plugin.KindLauncher) {
		req.Directories.Run, req.Directories.Runtime = s.opts.RunDir, s.opts.RuntimeDir
	}
	if len(req.Config) == 0 {
		req.Config = []byte("{}")
	}
	return req
}

// negotiate stores the versions in which host and plugin talk. A service that cannot be used is logged now, and each of
// its callers gets the reason.
func (s *supervisor) negotiate(gen *generation, info plugin.Info) error {
	services, err := negotiate(info, s.opts.Version, s.opts.Speaks, gen.proof != nil)
	if err != nil {
		return permanent{s.refuse(gen, fault.CodeOf(err), err.Error(), fault.HintOf(err))}
	}
	for _, svc := range services {
		if svc.Err != nil {
			s.log.Error("a service of the plugin is not used; its other services are", "service", svc.Kind, "error",
				svc.Err, "hint", fault.HintOf(svc.Err))
		}
	}
	if len(info.UnknownKinds) > 0 {
		s.log.Warn("services of the plugin are not used; its other services are", "unknown", strangeKinds(info), "hint",
			"upgrade gatehost to use them")
	}
	gen.info, gen.services = info, services
	return nil
}

// granted returns the grants that the operator gives, of those that the plugin wants.
func granted(spec *Spec, info plugin.Info) []string {
	var out []string
	for _, g := range spec.Grants {
		if slices.Contains(info.WantedGrants, g) {
			out = append(out, g)
		}
	}
	return out
}

// judge logs remarks and returns all faults at once, with their place in config.toml; "" when there are none.
func (s *supervisor) judge(spec *Spec, diagnostics []plugin.Diagnostic) string {
	var faults []string
	for _, d := range diagnostics {
		text := d.Message
		if d.Path != "" {
			text = "plugins." + spec.Name + ".config." + d.Path + ": " + text
		}
		if where := spec.Where(d.Path); where != "" {
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
	return strings.Join(faults, "; ")
}

// tableRefused is a start that failed because the plugin refuses its table in config.toml.
type tableRefused struct{ error }

func (t tableRefused) Unwrap() error { return t.error }

// IsTableRefused reports whether a plugin did not start because it refuses its table.
func IsTableRefused(err error) bool {
	_, ok := errors.AsType[tableRefused](err)
	return ok
}
