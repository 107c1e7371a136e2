package archtest

import (
	"slices"
	"strings"
)

const module = "github.com/gatehost/gatehost/"

// rule is what one package, or a folder of packages ("x/..."), may import. Anything not listed is forbidden.
type rule struct {
	from string
	// packages of gatehost; a trailing /... means the folder, own the folder that is two deep (plugins/doctor)
	may     []string
	mods    []string // modules of others, and their packages; anything is any
	std     []string // when set: the only packages of the standard library
	planned bool     // not written yet: it must match nothing, so that a person reads the rule when the package appears
	reason  string   // why no more than that
}

const (
	own      = "."
	anything = "..."
)

const (
	cobra      = "github.com/spf13/cobra"
	gopsutil   = "github.com/shirou/gopsutil/v4"
	goLandlock = "github.com/landlock-lsm/go-landlock"
	goSeccomp  = "github.com/elastic/go-seccomp-bpf"
	gorilla    = "github.com/gorilla/websocket"
	goPlugin   = "github.com/hashicorp/go-plugin"
	grpc       = "google.golang.org/grpc"
	hclog      = "github.com/hashicorp/go-hclog"
	goSystemd  = "github.com/coreos/go-systemd/v22"
	oklog      = "github.com/oklog/run"
	prometheus = "github.com/prometheus/client_golang"
	protobuf   = "google.golang.org/protobuf"
	rapid      = "pgregory.net/rapid"
	toml       = "github.com/BurntSushi/toml"
	uuid       = "github.com/google/uuid"
	xSys       = "golang.org/x/sys"
	pb         = "shared/pb/..."
	wire       = "shared/internal/wire"
	noMeaning  = "the session reports facts, it does not know what they mean"
	stranger   = "authors compile this, and a kind does not know the others"
	oldShims   = "standard library and x/sys only: it must stay small, and old shims outlive hosts"
	views      = "views are folds over events and change nothing"
)

// kinds returns the packages of the boundary between host and plugins.
func kinds(more ...string) []string {
	return append([]string{
		"shared/fault", "shared/plugin", "shared/launcher", "shared/unloader", "shared/doctor",
		"shared/classifier",
	}, more...)
}

// testMay lists what every test may import in addition: packages that help tests.
func testMay() []string {
	return []string{
		"shared/gatewaytest", "shared/pluginkit/plugintest", "shared/conformance",
		"shared/internal/wiretest", "internal/testreal", "internal/testhost", "internal/release", "internal/shimreplay",
	}
}

// rules returns the table; docs/architecture.md shows it. The first rule that matches a package is its rule.
func rules() []rule {
	adapter := []string{"shared/fault", "shared/plugin", pb, wire}
	return []rule{
		{
			from: "cmd/host",
			may: []string{
				"host", "shared/control", "shared/fault", "shared/plugin", "internal/redact",
				"internal/initprocess", "internal/outqueue", "internal/scaffold", "internal/stamp", "internal/version",
			}, mods: []string{cobra, hclog, xSys}, reason: "verbs and their output; the core stays behind the facade",
		},
		{
			from: "cmd/gatehost-shim", may: []string{"internal/initprocess", "shared/shim/..."},
			reason: oldShims,
		},
		{from: "internal/initprocess", mods: []string{xSys}, reason: oldShims},
		{from: "cmd/gateway-emulator", may: []string{"shared/gatewaytest"}, reason: "a flag parser around the library"},

		{
			from: "host", may: kinds("host/internal/...", "shared/conformance", "shared/control", "internal/redact",
				"internal/version", "shared/shim/process"),
			mods:   []string{hclog, oklog},
			reason: "the facade and the one composition root; it knows kinds, not implementations",
		},
		{
			from: "host/internal/api",
			may: kinds("host/internal/conditions", "host/internal/engine", "host/internal/events",
				"host/internal/gateway", "host/internal/gatewayconfig", "host/internal/httpapi",
				"host/internal/journal", "host/internal/lifecycle", "host/internal/metrics",
				"host/internal/pluginhost", "host/internal/registry", "host/internal/view", "internal/frame",
				"internal/json5", "shared/control"), mods: []string{hclog},
			reason: "it answers from the set in force; reloads reach it by an interface of httpapi",
		},
		{
			from: "host/internal/reload",
			may: kinds("host/internal/conditions", "host/internal/config", "host/internal/events",
				"host/internal/gateway", "host/internal/lifecycle", "host/internal/pluginhost",
				"host/internal/pluginspec", "host/internal/profile", "host/internal/registry", "host/internal/store",
				"host/internal/view", "shared/control"), mods: []string{hclog},
			reason: "it replaces the set in force; what asks for a reload is not its business",
		},
		{
			from: "host/internal/registry",
			may: []string{
				"host/internal/config", "host/internal/engine", "host/internal/gateway",
				"host/internal/lifecycle", "host/internal/view", "shared/control",
			}, reason: "the set of gateways knows no reload and no request",
		},
		{
			from: "host/internal/gateway",
			may: kinds("host/internal/config", "host/internal/doctors", "host/internal/engine",
				"host/internal/events", "host/internal/gatewayconfig", "host/internal/health",
				"host/internal/journal", "host/internal/lastgood", "host/internal/lifecycle", "host/internal/metrics",
				"host/internal/observe", "host/internal/output", "host/internal/pluginhost",
				"host/internal/peer", "host/internal/prelaunch", "host/internal/probe", "host/internal/profile",
				"host/internal/repair", "host/internal/sandbox", "host/internal/session", "host/internal/store",
				"host/internal/view", "internal/foreignfile", "internal/frame", "internal/json5", "internal/redact",
				"internal/release",
				"shared/control"), mods: []string{hclog},
			reason: "one gateway: it knows no other gateway, no registry and no host",
		},
		{
			from: "host/internal/doctors",
			may: kinds("host/internal/engine", "host/internal/events", "host/internal/lastgood",
				"host/internal/lifecycle", "host/internal/repair", "host/internal/view", "internal/atomicfile",
				"shared/control"),
			mods: []string{hclog}, reason: "it sees its gateway by the interface Target",
		},
		{
			from: "host/internal/lastgood",
			may: []string{
				"host/internal/engine", "host/internal/lifecycle", "host/internal/repair",
				"internal/atomicfile", "shared/doctor", "shared/fault", "shared/plugin",
			}, mods: []string{hclog}, reason: "it sees its gateway by two functions",
		},
		{
			from:   "host/internal/observe",
			may:    []string{"host/internal/lifecycle", "host/internal/view", "shared/classifier", "shared/control"},
			std:    []string{"cmp", "fmt", "math", "slices", "time"},
			reason: "a pure fold: no clock, lock, context or log",
		},
		{
			from: "host/internal/view",
			may: []string{
				"host/internal/config", "host/internal/health", "host/internal/lifecycle",
				"host/internal/manifest", "host/internal/pluginhost", "host/internal/sandbox", "shared/control",
				"shared/fault", "shared/plugin",
			}, std: []string{"cmp", "errors", "slices", "strings", "time"}, reason: "pure words: values in, values out",
		},
		{
			from: "host/internal/conditions", may: []string{"shared/control"},
			reason: "the conditions of the host, for all that find one",
		},
		{
			from: "host/internal/pluginspec",
			may: []string{
				"host/internal/config", "host/internal/pluginhost", "host/internal/sandbox",
				"shared/control", "shared/plugin",
			}, reason: "configuration in, specification out; it starts nothing",
		},
		{
			from: "host/internal/plugintool",
			may: []string{
				"host/internal/config", "host/internal/manifest", "host/internal/pluginhost",
				"host/internal/pluginspec", "host/internal/profile", "host/internal/sandbox", "host/internal/view",
				"internal/atomicfile", "internal/version", "shared/conformance", "shared/control", "shared/fault",
				"shared/plugin",
			}, mods: []string{hclog}, reason: "it works without a host: no gateway, no engine; it shows a plugin in the words " +
				"of the API",
		},
		{
			from: "host/internal/lifecycle", std: []string{"errors", "fmt", "slices", "cmp", "strings", "time", "maps"},
			reason: "a decision that logs or waits is not a decision",
		},
		{
			from: "host/internal/engine",
			may:  kinds("host/internal/lifecycle", "host/internal/observe", "host/internal/session"),
			mods: []string{hclog}, reason: "it declares small ports; package gateway plugs session, probe and " +
				"pluginhost in; of session it has the figures alone",
		},
		{
			from: "host/internal/sim",
			may:  kinds("host/internal/engine", "host/internal/lifecycle", "host/internal/observe"),
			mods: []string{hclog}, reason: "tests only: the world around an engine, and the real engine",
		},
		{
			from: "host/internal/session", may: []string{"internal/atomicfile", "internal/frame", "shared/fault"},
			mods: []string{gorilla, hclog, uuid}, reason: noMeaning,
		},
		{
			from: "host/internal/probe", may: []string{"host/internal/peer", "internal/frame"},
			mods: []string{gorilla, gopsutil}, reason: "it asks a port and decides nothing",
		},
		{
			from: "host/internal/sdnotify", mods: []string{goSystemd, hclog, xSys},
			reason: "it knows the words of a service manager; what they are about is given to it",
		},
		{
			from: "host/internal/peer", may: []string{"internal/redact", "shared/shim", "shared/shim/process"},
			mods:   []string{gopsutil},
			reason: "it knows connections, processes and the mark of a launch; it does not know what a gateway is",
		},
		{
			from: "host/internal/output",
			may:  []string{"internal/redact", "shared/classifier", "shared/launcher", "shared/plugin"},
			mods: []string{hclog}, reason: "symptoms leave by a callback given at construction",
		},
		{
			from: "host/internal/repair", may: kinds("internal/atomicfile", "internal/foreignfile",
				"internal/redact"), mods: []string{hclog},
			reason: "it reaches processes by a function that is given to it",
		},
		{
			from: "host/internal/pluginhost",
			may: kinds(pb, "shared/pluginkit", "host/internal/sandbox", "host/internal/manifest",
				"host/internal/tomltext", "host/internal/trustfile", "internal/foreignfile", "internal/redact",
				"internal/stamp", "shared/shim/process"),
			mods:   []string{goPlugin, gopsutil, grpc, hclog, protobuf, xSys},
			reason: "specifications are passed to it; it does not know config.toml",
		},
		{
			from: "host/internal/gatewayconfig",
			may: []string{
				"internal/atomicfile", "internal/foreignfile", "internal/frame", "internal/json5", "internal/redact",
				"shared/fault",
			}, reason: "it reaches the gateway by an interface that host gives it",
		},
		{
			from: "host/internal/profile",
			may: []string{
				"host/internal/config", "host/internal/gatewayplace", "host/internal/trustfile",
				"internal/foreignfile", "internal/redact", "shared/fault", "shared/plugin", "shared/shim",
			},
			reason: "configuration in, a process out; it starts nothing, and finds programs as the shim does",
		},
		{
			from: "host/internal/gatewayplace", std: []string{"errors", "io", "os", "path/filepath", "regexp", "strings"},
			reason: "the rules of OpenClaw for its own files; it knows no configuration of ours",
		},
		{
			from: "host/internal/sandbox", mods: []string{goLandlock, goSeccomp, xSys},
			reason: "it takes rights away and knows no other package",
		},
		{
			from: "host/internal/prelaunch", may: []string{"internal/atomicfile", "internal/foreignfile"},
			reason: "it knows files and a function, not what a hook is",
		},
		{
			from: "host/internal/store", may: []string{"internal/atomicfile", "shared/fault"}, mods: []string{uuid, xSys},
			reason: "files know no other package",
		},
		{from: "host/internal/events", reason: views},
		{
			from: "host/internal/httpapi", may: []string{"host/internal/events", "shared/control", "shared/fault"},
			mods: []string{hclog, xSys}, reason: "it uses interfaces that it declares itself, not the engine",
		},
		{
			from: "host/internal/config",
			may: []string{
				"internal/atomicfile", "internal/foreignfile", "internal/redact", "shared/fault", "shared/plugin",
				"host/internal/tomltext", "host/internal/gatewayplace", "host/internal/trustfile",
			},
			mods: []string{toml}, reason: "package gateway turns words into policies",
		},
		{
			from: "host/internal/tomltext", may: []string{"internal/redact", "shared/fault"}, mods: []string{toml},
			reason: "it knows where keys stand, not what they mean",
		},
		{
			from: "host/internal/manifest",
			may: []string{
				"internal/atomicfile", "shared/fault", "shared/plugin", "host/internal/tomltext",
				"host/internal/trustfile",
			},
			reason: "what a plugin says about itself; it grants nothing",
		},
		{from: "host/internal/trustfile", reason: "it judges modes and owners, and knows no file's meaning"},
		{
			from: "host/internal/health", may: []string{"internal/frame"},
			reason: "a view beside the session: it decides nothing",
		},
		{from: "host/internal/journal", may: []string{"host/internal/events", "internal/atomicfile"}, reason: views},
		{
			from: "host/internal/metrics", may: []string{"host/internal/observe"}, mods: []string{gopsutil, prometheus},
			reason: "package gateway tells it facts and gives it snapshots; it shows them and changes nothing",
		},
		{from: "host/internal/dashboard", planned: true, reason: "files that talk to the HTTP API only"},

		{from: "shared", reason: "files, for the scaffold alone: a plugin must not carry them"},
		{from: "shared/shim/...", may: []string{"shared/shim/..."}, mods: []string{xSys}, reason: oldShims},
		{from: pb, may: []string{pb}, mods: []string{grpc, protobuf}, reason: "generated"},
		{
			from: wire, may: []string{"shared/fault", "shared/plugin", pb}, mods: []string{grpc, protobuf},
			reason: "conversions that the kinds share, and nothing else",
		},
		{
			from: "shared/internal/wiretest", may: kinds(wire, pb), mods: []string{grpc, rapid},
			reason: "helps the kinds' own tests",
		},
		{
			from: "shared/fault", may: []string{pb}, mods: []string{grpc, protobuf},
			reason: "errors know no other package",
		},
		{from: "shared/plugin", reason: "the words that all kinds share import nothing"},
		{from: "shared/launcher", may: adapter, mods: []string{grpc, protobuf}, reason: stranger},
		{from: "shared/unloader", may: adapter, mods: []string{grpc, protobuf}, reason: stranger},
		{from: "shared/doctor", may: adapter, mods: []string{grpc, protobuf}, reason: stranger},
		{from: "shared/classifier", may: adapter, mods: []string{grpc, protobuf}, reason: stranger},
		{
			from: "shared/pluginkit", may: kinds(pb, wire), mods: []string{goPlugin, grpc, hclog},
			reason: "a plugin's main sees no host",
		},
		{
			from: "shared/pluginkit/plugintest", may: kinds("shared/pluginkit"), mods: []string{grpc},
			reason: "an author must be able to test with it",
		},
		{
			from:   "shared/conformance",
			may:    kinds(pb, "shared/pluginkit", "shared/pluginkit/plugintest", "shared/shim/process"),
			mods:   []string{grpc, protobuf},
			reason: "an author must be able to run it; it starts nothing itself: host gives it an Opener",
		},
		{
			from:   "shared/shimlauncher",
			may:    []string{"shared/fault", "shared/plugin", "shared/launcher", "shared/shim/..."},
			reason: "a launcher to embed: authors compile this",
		},
		{from: "shared/control", may: []string{"shared/fault"}, reason: "the words of the API import nothing"},
		{
			from: "shared/gatewaytest", may: []string{"internal/frame", "internal/json5"}, mods: []string{gorilla},
			reason: "the emulator knows neither host nor plugins",
		},

		{
			from: "plugins/...", may: kinds(own, "shared/pluginkit", "shared/shim/...", "shared/shimlauncher"),
			mods:   []string{anything},
			reason: "an in-tree plugin may use nothing that an author could not, and no other plugin",
		},
		{
			from: "examples/...", may: kinds(own, "shared/pluginkit"),
			reason: "an example may use only what an author can use",
		},

		{from: "internal/foreignfile", reason: "it opens and bounds; it does not know what a file means"},
		{from: "internal/atomicfile", reason: "bytes, modes and owners; it does not know what a file means"},
		{from: "internal/frame", may: []string{"internal/redact"}, reason: "shapes, no meanings"},
		{from: "internal/outqueue", reason: "lines and a writer; it does not know what they say"},
		{from: "internal/stamp", reason: "the beginning of a line; it does not know who wrote it"},
		{from: "internal/json5", reason: "text and values, no meanings"},
		{from: "internal/redact", reason: "one list of the names of secrets; it does not know whose secrets they are"},
		{
			from: "internal/release", std: []string{"slices", "strings"},
			reason: "a table: it decides nothing and asks no gateway",
		},
		{
			from: "internal/scaffold", may: []string{"shared", "shared/fault", "shared/plugin", pb},
			mods: []string{protobuf}, reason: "templates and files: it knows no host",
		},
		{from: "internal/version", reason: "build information"},
		{
			from: "internal/protodoc", may: []string{pb}, mods: []string{protobuf},
			reason: "a generator reads the contract and nothing else",
		},
		{from: "internal/mutate", reason: "it compiles and runs the tests of the others"},
		{from: "internal/testreal", reason: "it finds an installation"},
		{from: "internal/testhost", reason: "it builds programs by their folders"},
		{
			from: "internal/shimreplay", may: []string{"shared/shim/..."},
			reason: "it plays a recorded shim to tests: it needs the protocol and nothing else",
		},
		{from: "internal/archtest", reason: "it reads the others"},
		{
			from: "test/...",
			may: []string{
				own, "internal/testreal", "internal/testhost", "internal/frame", "internal/release",
				"shared/gatewaytest",
			}, mods: []string{anything}, reason: "black box: no imports of host",
		},
		{from: "internal/behaviour", reason: "it reads the others"},
		{from: "internal/docs", reason: "it reads the others"},
	}
}

// allows reports whether the package name, which r is the rule of, may import imp.
func (r rule) allows(name, imp string, inTest bool) bool {
	first, _, _ := strings.Cut(imp, "/")
	switch ours, isOurs := strings.CutPrefix(imp, module); {
	case isOurs && ours == name:
		return true // an external test imports what it tests
	case isOurs:
		return slices.ContainsFunc(r.may,
			func(m string) bool { return matches(m, ours) || m == own && room(name) == room(ours) }) ||
			inTest && slices.Contains(testMay(), ours)
	case strings.Contains(first, "."):
		return inTest ||
			slices.ContainsFunc(r.mods, func(m string) bool { return m == anything || matches(m+"/...", imp) })
	default:
		return inTest || len(r.std) == 0 || slices.Contains(r.std, imp)
	}
}

func matches(pattern, pkg string) bool {
	if dir, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == dir || strings.HasPrefix(pkg, dir+"/")
	}
	return pattern == pkg
}

// room returns the first two elements of a package: plugins/doctor for plugins/doctor/cmd/doctor.
func room(pkg string) string {
	parts := strings.SplitN(pkg, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}
