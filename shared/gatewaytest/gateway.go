package gatewaytest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const budget = "drain=315000ms shutdown=325000ms reserve=10000ms exitMargin=5000ms; source=Gateway stop policy=330000ms"

// run is one gateway process from its start to its end.
type run struct {
	*program
	flags  flags
	traces *traces
	server *Server                // of the main goroutine and what it starts
	up     atomic.Pointer[Server] // the same, for signals
	exit   chan int               // the first one counts
	tasks  sync.WaitGroup
	ctx    context.Context //nolint:containedctx // the process's own life
	end    context.CancelFunc

	mu     sync.Mutex // guards broker
	broker *exec.Cmd
}

func (p *program) gatewayCommand(args []string) int {
	f, err := parseFlags(args)
	if err == nil {
		p.script, err = parseScript(p.env["EMULATOR_MISBEHAVE"])
	}
	if err == nil {
		p.release, err = choose(p.env["EMULATOR_RELEASE"], p.script)
	}
	if err != nil {
		p.print(p.stderr, "error: "+strings.TrimPrefix(err.Error(), "usage: "))
		return 1
	}
	if p.script.has("exit-at-once") {
		return p.script.number("exit-at-once")
	}
	r := &run{program: p, flags: f, traces: p.tracing(), exit: make(chan int, 1)} // 1: the first one counts
	r.ctx, r.end = context.WithCancel(context.Background())
	defer r.end()
	ignoreBrokenPipes()
	return r.life()
}

// life runs the process from its first line to its exit code.
func (r *run) life() int {
	release, code := r.own()
	if code != 0 {
		return code
	}
	defer release()
	r.traces.early("cli.main.argv")
	boots := r.boots()
	if code := r.guard(); code != 0 {
		return code
	}
	r.traces.early("cli.bootstrap.config-snapshot")
	r.pause(r.ctx, 1400*time.Millisecond)
	r.say("gateway", "loading configuration…")
	r.pause(r.ctx, 25*time.Millisecond)
	r.say("gateway", "resolving authentication…")
	r.say("gateway", "starting...")
	if r.script.has("full-disk") { // measured on 2026.9.6
		r.warn("gateway", "failed to write stability bundle: Error: ENOSPC: no space left on device, write")
		r.fail("Gateway failed to start: database is not open. Run openclaw gateway status --deep for diagnostics.")
		return 1
	}
	stopSignals := r.signals()
	defer stopSignals()
	defer r.count()()
	r.pause(r.ctx, 220*time.Millisecond)
	r.say("gateway", "shutdown budget at startup: "+budget)
	if boots.unclean() >= 3 {
		r.warn("gateway",
			`restart-loop breaker tripped: 3 unclean boot(s) within 300000ms; suppressing channel/provider account `+
				`auto-start. Inspect the stability bundle and fix the startup crash before restarting the service. Start a `+
				`channel manually with: openclaw gateway call channels.start --params '{"channel":"<id>"}'`)
	}
	boots.begin()
	code = r.work()
	r.end()
	r.stopBroker()
	r.tasks.Wait()
	if code != dirty {
		boots.clean()
		return code
	}
	return 1
}

// dirty is the code of an end that leaves its traces.
const dirty = -1

// work runs the server until something ends the process.
func (r *run) work() int {
	if err := r.startBroker(); err != nil {
		r.warn("gateway", err.Error())
	}
	if r.crashes() {
		r.fail("Gateway failed to start: emulated crash", "    at emulator (file:///emulated.mjs:1:1)")
		return dirty
	}
	if r.script.has("print-token") {
		r.warn("gateway", "auth token is "+r.token(mustRead(r.configPath())))
	}
	r.pause(r.ctx, 500*time.Millisecond)
	config, err := readConfig(r.configPath())
	if err != nil || !config.valid() {
		if r.release.refuse != nil {
			r.release.refuse(r, config)
		} else {
			r.fail(r.invalid("Gateway failed to start: ", config)...)
		}
		return r.release.configExit
	}
	r.pause(r.ctx, 1800*time.Millisecond)
	mode, password, code := r.authentication(config)
	if code != 0 {
		return code
	}
	r.server = r.newServer(config)
	r.server.Auth, r.server.Password = mode, password
	if r.server.TLS, err = r.tls(config); err != nil {
		r.fail("Gateway failed to start: " + err.Error())
		return 1
	}
	if err := r.server.prepare(); err != nil {
		r.fail("Gateway failed to start: " + err.Error())
		return 1
	}
	if r.token(config) == "" && mode == modeToken {
		r.warn("gateway",
			"Gateway auth token was missing. Generated a runtime token for this startup without changing config; restart "+
				"will generate a different token.")
	}
	r.up.Store(r.server)
	r.tasks.Go(r.start)
	select {
	case code := <-r.exit:
		r.stopServer()
		return code
	case <-r.lost:
		r.end()
		r.server.abandon()
		return 0
	}
}

func mustRead(path string) snapshot {
	s, _ := readConfig(path) // what cannot be read is reported where it matters
	return s
}

func (r *run) newServer(config snapshot) *Server {
	s := &Server{
		Release: r.release.version,
		Port:    r.port(config), Token: r.token(config), Scale: r.scale, Misbehave: r.env["EMULATOR_MISBEHAVE"],
		StateDir:   r.stateDir(),
		ConfigPath: r.configPath(), Log: r.log, Tick: r.millis("EMULATOR_TICK_MS"), Ping: r.millis("EMULATOR_PING_MS"),
		Handshake: r.millis("OPENCLAW_HANDSHAKE_TIMEOUT_MS"), LogConnections: r.env["EMULATOR_LOG_CONNECTIONS"] == "1",
	}
	s.noChannels = r.env["OPENCLAW_SKIP_CHANNELS"] == "1" || r.env["OPENCLAW_SKIP_PROVIDERS"] == "1"
	s.beforeListen, s.externally, s.requested, s.portTries = r.again, r.external, r.restart, r.release.portTries
	return s
}

func textOf(v any) string {
	s, _ := v.(string)
	return s
}

func (r *run) port(config snapshot) int {
	if r.flags.portSet {
		return r.flags.port
	}
	if n, err := strconv.Atoi(r.env["OPENCLAW_GATEWAY_PORT"]); err == nil {
		return n
	}
	if n, ok := config.at("gateway.port").(float64); ok {
		return int(n)
	}
	return 18789
}

// token is the token that was given; argv beats the file, which beats the environment (measured on 2026.9.6).
func (r *run) token(config snapshot) string {
	return firstOf(r.flags.token, textOf(config.at("gateway.auth.token")), r.env["OPENCLAW_GATEWAY_TOKEN"])
}

// start opens the server; a port that is taken is tried for a while, as the gateway does.
func (r *run) start() {
	err := r.server.Start(r.ctx)
	taken, inUse := errors.AsType[*portError](err)
	switch {
	case err == nil:
		r.tasks.Go(r.watch)
		r.tasks.Go(r.afterReady)
	case r.ctx.Err() != nil:
	case inUse:
		r.portConflict(taken.port)
	default:
		r.fail("Gateway failed to start: " + err.Error())
		r.leave(1)
	}
}

// leave ends the process with code, unless it is ending already.
func (r *run) leave(code int) {
	select {
	case r.exit <- code:
	default:
	}
}

func (r *run) portConflict(port int) {
	r.say("gmail-watcher", "gmail watcher stopped")
	r.say("shutdown", "completed cleanly in 38ms")
	taken := "Gateway failed to start: another gateway instance is already listening on ws://127.0.0.1:{port}"
	r.fail(
		strings.ReplaceAll(taken+r.release.taken, "{port}", strconv.Itoa(port)),
		"If the gateway is supervised, stop it with: openclaw gateway stop",
	)
	r.fail(fmt.Sprintf("Port %d is already in use.", port))
	r.leave(r.release.portExit)
}

// invalid is the text about an invalid configuration.
func (r *run) invalid(prefix string, config snapshot) []string {
	lines := append([]string{prefix + "Invalid config at " + r.configPath() + ":"}, config.lines(r.configPath())...)
	return append(lines, `Run "openclaw doctor --fix" to repair, then retry.`,
		"If startup is still blocked, inspect the adjacent .bak backup before restoring it manually.")
}

// guard refuses to start without gateway.mode (docs/openclaw.md §4).
func (r *run) guard() int {
	r.pause(r.ctx, 900*time.Millisecond)
	config, err := readConfig(r.configPath())
	mode := config.at("gateway.mode")
	switch {
	case err != nil || r.flags.allowUnconfigured || mode == "local" || config.syntax != nil:
		return 0
	case !config.exists:
		r.print(r.stderr,
			"Missing config. Run `openclaw setup` or set gateway.mode=local (or pass --allow-unconfigured).")
	case !config.valid():
		return 0 // that comes later, with its own text
	case mode == nil:
		r.print(r.stderr,
			"Gateway start blocked: existing config is missing gateway.mode. Treat this as suspicious or clobbered config. "+
				"Re-run `openclaw onboard --mode local` or `openclaw setup`, set gateway.mode=local manually, or pass "+
				"--allow-unconfigured.")
		r.print(r.stderr, "Config write audit: SQLite diagnostic_events/config-audit state (latest 50000 rows)")
	default:
		r.print(r.stderr,
			fmt.Sprintf("Gateway start blocked: set gateway.mode=local (current: %v) or pass --allow-unconfigured.",
				mode))
		r.print(r.stderr, "Config write audit: SQLite diagnostic_events/config-audit state (latest 50000 rows)")
	}
	return r.release.configExit
}

const contention = "Doctor could not enter maintenance. StateDatabaseCoordinatorContentionError: another OpenClaw " +
	"process owns gateway-lifecycle Stop the Gateway service and other OpenClaw processes using this state, then run " +
	"openclaw doctor --fix from an independent shell."

// own takes the state directory, or says that another gateway has it.
func (r *run) own() (release func(), code int) {
	dir := r.stateDir()
	err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o700)
	if r.release.sharedState && err == nil && !r.script.has("other-owner") {
		return func() {}, 0
	}
	if err == nil && !r.script.has("other-owner") {
		release, err = lockState(dir, r.configPath())
	}
	switch {
	case r.script.has("other-owner"), errors.Is(err, errOwned):
		r.pause(r.ctx, 860*time.Millisecond)
		stop := "Stop the service with openclaw gateway stop (or its service owner), then run openclaw doctor --fix, then " +
			"start it again with openclaw gateway start."
		r.print(r.stderr, contention)
		r.print(r.stderr, "[gateway] requires state migration. "+stop)
		r.print(r.stderr, "Gateway failed to start: "+contention+" | gateway.maintenance_required. "+stop)
		return nil, exConfig
	case err != nil:
		r.print(r.stderr, "Gateway failed to start: "+err.Error())
		return nil, 1
	}
	return release, 0
}

// stopServer is the orderly end.
func (r *run) stopServer() {
	if r.script.has("hang-stop") {
		r.server.announceAndClose()
		<-r.lost // for ever, or until the output has no reader any more
		return
	}
	if d, ok := r.script.after("slow-stop"); ok {
		r.server.sleep(context.Background(), nil, d)
	}
	r.server.Stop()
	r.pause(context.Background(), 200*time.Millisecond)
}

// stop is what SIGTERM asks for.
func (r *run) stop(signal string) {
	if r.script.has("ignore-sigterm") {
		r.warn("gateway", "emulator: "+signal+" ignored")
		return
	}
	r.say("admission", "closed: stop ("+signal+")")
	r.say("gateway", "received "+signal+"; shutting down")
	r.say("gateway", "shutdown budget at shutdown: "+budget)
	r.say("gateway", "active-work drain settled; beginning server close")
	r.end()
	r.leave(0)
}

// restart is what SIGUSR2 and gateway.restart.request ask for.
func (r *run) restart(reason string) {
	server := r.up.Load()
	if server == nil {
		return
	}
	if server.config.get().at("commands.restart") == false {
		r.warn("gateway", "SIGUSR2 restart ignored (not authorized; commands.restart=false).")
		r.warn("gateway",
			"An unauthorized SIGUSR2 restart signal was received and ignored. If a pending gateway restart needs to be "+
				"applied, run `openclaw gateway restart` or restart the gateway through your service manager.")
		return
	}
	if err := server.Restart(r.ctx, reason); err != nil && r.ctx.Err() == nil && !errors.Is(err, errStayed) {
		r.warn("gateway", "restart failed: "+err.Error())
	}
}

func (r *run) external() bool {
	if r.env["OPENCLAW_SUPERVISOR_MODE"] != "external" || r.env["OPENCLAW_NO_RESPAWN"] == "1" {
		return false
	}
	r.say("gateway", "restart mode: full process restart (supervisor restart)")
	r.leave(0)
	return true
}

var errStayed = errors.New("the process stays alive with its port closed")

// again prepares a restart in process: a new broker, the configuration read again. An invalid one leaves the process
// alive with its port closed (docs/openclaw.md §4).
func (r *run) again() error {
	mode := "OPENCLAW_NO_RESPAWN"
	if r.env[mode] != "1" {
		mode = "container: use in-process restart to keep PID 1 alive"
	}
	r.say("gateway", "restart mode: in-process restart ("+mode+")")
	r.stopBroker()
	r.pause(r.ctx, 900*time.Millisecond)
	if err := r.startBroker(); err != nil {
		return err
	}
	config, err := readConfig(r.configPath())
	if err != nil || !config.valid() {
		lines := r.invalid("[gateway] startup failed: ", config)
		lines[len(lines)-1] += ". Process will stay alive; fix the issue and restart."
		r.fail(append(lines, r.invalid("InvalidConfigError: ", config)...)...)
		r.stopBroker()
		if r.release.zombieExit != 0 { // it says so, and ends all the same
			r.leave(r.release.zombieExit)
		}
		return errStayed
	}
	r.server.config.set(config)
	r.server.setPort(r.port(config))
	if token := r.token(config); token != "" {
		r.server.setToken(token)
	}
	return nil
}

// watch follows the configuration file (docs/openclaw.md §10).
func (r *run) watch() {
	last := mustRead(r.configPath())
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-t.C:
		}
		now, err := readConfig(r.configPath())
		if err != nil || now.raw == last.raw && now.exists == last.exists {
			continue
		}
		last = now
		switch {
		case !now.exists:
			r.warn("reload", "config reload skipped (config file not found)")
		case !now.valid():
			i := now.issues[0]
			r.warn("reload", "config reload skipped (invalid config): "+i.path+": "+i.message)
		default:
			var paths []string
			for _, path := range changed(r.server.config.get().value, now.value, "") {
				if !strings.HasPrefix(path, "meta") {
					paths = append(paths, path)
				}
			}
			r.tasks.Go(func() { r.server.applyConfig(now, paths) })
		}
	}
}

// afterReady plays what was asked for once the gateway is ready.
func (r *run) afterReady() {
	select {
	case <-r.server.Ready():
	case <-r.ctx.Done():
		return
	}
	r.traces.late("sidecars.ready")
	r.traces.detail("memory.ready rssMb=697.4 heapTotalMb=280.8")
	r.traces.late("ready")
	if r.script.has("flood-stderr") {
		r.flood(r.script.number("flood-stderr"))
	}
	if r.script.has("binary-output") {
		r.print(r.stdout, "\xff\xfe\x00\x01 not UTF-8\r\n\x1b[31mred\x1b[0m\r\nan end without")
	}
	if d, ok := r.script.after("exit-after"); ok && r.server.sleep(r.ctx, nil, d) {
		r.fail("emulated exit")
		os.Exit(r.script.second("exit-after")) //nolint:revive // a process that ends without a word is the point
	}
	if d, ok := r.script.after("out-of-heap-after"); ok && r.boots().unclean() == 1 && r.server.sleep(r.ctx, nil, d) {
		r.print(r.stderr, "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n"+
			"----- Native stack trace -----\n")
		os.Exit(134) //nolint:revive // a process that ends without a word is the point
	}
	if d, ok := r.script.after("die-after"); ok && r.server.sleep(r.ctx, nil, d) {
		kill()
	}
}

// crashes says whether this launch has to fail.
func (r *run) crashes() bool {
	if r.script.has("crash-loop") {
		return true
	}
	if !r.script.has("crash-first") {
		return false
	}
	path := filepath.Join(r.stateDir(), "tmp", "emulator-launches")
	data, _ := os.ReadFile(path) //nolint:gosec // our own count
	n, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	_ = os.WriteFile(path, []byte(strconv.Itoa(n+1)), 0o600)
	return n < r.script.number("crash-first")
}
