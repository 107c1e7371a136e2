package pluginkit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/unloader"
)

// ProtocolVersion is go-plugin's version of the envelope; it stays 1. Services carry their own versions (R41).
const ProtocolVersion = 1

// ServiceVersion is the version of every service of v1alpha1.
const ServiceVersion = 1

// PluginName is the one name under which go-plugin dispenses everything a binary serves.
const PluginName = "gatehost"

// The cookie tells a start by the host from a start by hand. It is no secret.
const (
	CookieKey   = "GATEHOST_PLUGIN"
	CookieValue = "7b1d9f3a-gatehost-plugin-v1"
)

// Handshake is what host and plugin must agree on before anything else.
func Handshake() goplugin.HandshakeConfig {
	return goplugin.HandshakeConfig{
		ProtocolVersion: ProtocolVersion, MagicCookieKey: CookieKey,
		MagicCookieValue: CookieValue,
	}
}

// Plugin is what a binary serves: a name, a version, and at least one of the kinds.
type Plugin struct {
	Name         string
	Version      string // semantic version without v
	Homepage     string
	ConfigFields []plugin.ConfigField
	WantedGrants []string

	// Configure takes the plugin's table; nil accepts only a table without keys. It is called again when the table or
	// the grants change, maybe while other calls are under way; a table that it refuses must leave the former one in
	// force. See DecodeConfig.
	Configure func(ctx context.Context, req plugin.ConfigureRequest) ([]plugin.Diagnostic, error)

	Launcher   launcher.Launcher
	Unloader   unloader.Unloader
	Doctor     doctor.Doctor // a doctor.Verifier is served with Verify, which is announced
	Classifier classifier.Classifier
}

// Info returns the answer to Describe.
func (p Plugin) Info() plugin.Info {
	i := plugin.Info{
		Name: p.Name, Version: p.Version, Homepage: p.Homepage, ConfigFields: p.ConfigFields,
		WantedGrants: p.WantedGrants,
	}
	served := map[plugin.Kind]bool{
		plugin.KindLauncher: p.Launcher != nil, plugin.KindUnloader: p.Unloader != nil,
		plugin.KindDoctor: p.Doctor != nil, plugin.KindClassifier: p.Classifier != nil,
	}
	for _, kind := range plugin.Kinds() { // in order: the same answer each time
		if served[kind] {
			i.Services = append(i.Services, plugin.ServiceInfo{
				Kind: kind, MinVersion: ServiceVersion, MaxVersion: ServiceVersion, Capabilities: p.capabilities(kind),
			})
		}
	}
	return i
}

// capabilities are the optional parts that a kind is served with.
func (p Plugin) capabilities(kind plugin.Kind) []string {
	if _, verifies := p.Doctor.(doctor.Verifier); verifies && kind == plugin.KindDoctor {
		return []string{plugin.CapabilityVerify}
	}
	return nil
}

// hostStderr is the pipe to the host. go-plugin's Serve replaces os.Stderr by a pipe of its own, which is read by a
// call that ends with the plugin: the last words of a dying plugin would be lost.
var hostStderr = os.Stderr

// Logger returns a logger to the host, by stderr, with levels.
func Logger(name string) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: name, Level: hclog.Trace, JSONFormat: true, Output: hostStderr})
}

// exitBound is how long calls may take to end after the host went away.
const exitBound = 2 * time.Second

// Serve serves p until the host goes away; it never returns.
func Serve(p Plugin) {
	os.Exit(serve(p, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) //nolint:forbidigo // it is a plugin's main
}

func serve(p Plugin, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 1 && args[0] == "--describe" {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(p.Info()); err != nil {
			return 1
		}
		return 0
	}
	if os.Getenv(CookieKey) != CookieValue {
		_, _ = fmt.Fprintf(stderr, "%s %s is a plugin of gatehost and is started by it.\n"+
			"Name it in config.toml:\n\n    [plugins.%s]\n    path = %q\n\nor look at it with: %s --describe\n",
			p.Name, p.Version, p.Name, os.Args[0], os.Args[0])
		return 2
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ignoreSignals()
	secret := hostSecret() // before anything is started that would inherit it
	running, server := &calls{}, &atomic.Pointer[grpc.Server]{}
	go func() {
		_, _ = io.Copy(io.Discard, stdin) // the death pipe: ends when the host does
		cancel()
		if s := server.Load(); s != nil {
			go s.Stop() // a stream that waits for the host's next message does not watch its context
		}
		select { // calls end by their contexts; after that, or the bound, no child of ours may remain
		case <-running.idle():
		case <-time.After(exitBound):
		}
		removeSocket()
		os.Exit(0) //nolint:forbidigo // see above
	}()
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: Handshake(),
		Plugins:         goplugin.PluginSet{PluginName: &grpcPlugin{p: p, ctx: ctx}},
		GRPCServer:      grpcServer(ctx, running, secret, server),
		Logger:          Logger(p.Name),
	})
	if ctx.Err() != nil {
		select {} // calls end in their own time, bounded above
	}
	return 0
}

// ignoreSignals ignores signals: a terminal's ^C and a service manager's SIGTERM reach the whole group, but the host
// decides when plugins end, in order (R11). Notify, not Ignore: an ignored signal would be inherited by every child.
func ignoreSignals() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		for range signals { //nolint:revive // swallowed on purpose
		}
	}()
}

// removeSocket removes the directory that the host made for this process's socket, because a host that was killed
// cannot.
func removeSocket() {
	dir := os.Getenv(goplugin.EnvUnixSocketDir)
	if strings.HasPrefix(filepath.Base(dir), "plugin-dir") { // go-plugin's name for it; nothing else is ours to remove
		_ = os.RemoveAll(dir)
	}
}
