package archtest

import "strings"

const module = "github.com/gatehost/gatehost/"

// rule is what one package, or a folder of packages ("x/..."), may import of ours. Anything not listed is forbidden.
type rule struct {
	from   string
	may    []string // of ours; a trailing /... means the folder
	std    []string // when set: the only packages of the standard library, nothing from outside
	reason string
}

var sharedKinds = []string{"shared/fault", "shared/plugin", "shared/launcher", "shared/unloader", "shared/doctor", "shared/classifier"}

// rules is the table. Order does not matter; the first that matches a package is its rule.
func rules() []rule {
	return []rule{
		{from: "cmd/host", may: []string{"host", "shared/control", "shared/fault", "internal/version"}, reason: "it wires and it talks; the core stays behind the facade"},
		{from: "cmd/gatehost-shim", may: []string{"shared/shim/..."}, reason: "the shim must stay small, and old shims outlive hosts"},
		{from: "cmd/gateway-emulator", may: []string{"shared/gatewaytest"}, reason: "a flag parser around the library"},
		{from: "host/internal/lifecycle", std: []string{"errors", "fmt", "slices", "cmp", "time", "maps"}, reason: "a decision that logs or waits is not a decision"},
		{from: "host/internal/engine", may: append([]string{"host/internal/lifecycle"}, sharedKinds...), reason: "it declares small ports; host.go plugs the world in"},
		{from: "host/internal/session", may: []string{"internal/frame", "shared/fault"}, reason: "the session reports facts, it does not know what they mean"},
		{from: "host/internal/probe", may: []string{"internal/frame"}, reason: "questions to a port have no opinion"},
		{from: "host/internal/output", may: []string{"shared/classifier", "shared/launcher", "shared/plugin"}, reason: "symptoms leave by a callback given at construction"},
		{from: "host/internal/repair", may: sharedKinds, reason: "it reaches processes by a function that host.go gives it"},
		{from: "host/internal/pluginhost", may: append([]string{"shared/pluginkit"}, sharedKinds...), reason: "host.go passes specs; it does not know config.toml"},
		{from: "host/internal/profile", may: []string{"shared/plugin"}, reason: "words in, a process out"},
		{from: "host/internal/store", reason: "files know nobody"},
		{from: "host/internal/events", reason: "views are folds over events and change nothing"},
		{from: "host/internal/httpapi", may: []string{"host/internal/events", "shared/control", "shared/fault"}, reason: "it uses interfaces that it declares itself"},
		{from: "host/internal/config", may: []string{"shared/fault"}, reason: "host.go turns words into policies"},
		{from: "host", may: []string{"host/internal/...", "shared/...", "internal/frame", "internal/version"}, reason: "the host knows kinds, not implementations: no plugins, no cmd"},
		{from: "shared/shim/...", may: []string{"shared/shim/..."}, reason: "standard library and x/sys only: it must stay small, and old shims outlive hosts"},
		{from: "shared/internal/wire", may: []string{"shared/fault", "shared/pb/...", "shared/plugin"}, reason: "conversions for the kinds"},
		{from: "shared/internal/wiretest", may: append([]string{"shared/internal/wire", "shared/pb/..."}, sharedKinds...), reason: "helps the kinds' own tests"},
		{from: "shared/pb/...", reason: "generated"},
		{from: "shared/fault", may: []string{"shared/pb/..."}, reason: "strangers compile this"},
		{from: "shared/plugin", reason: "the words that everybody shares import nobody"},
		{from: "shared/launcher", may: []string{"shared/fault", "shared/plugin", "shared/pb/...", "shared/internal/wire"}, reason: "kinds do not know each other"},
		{from: "shared/unloader", may: []string{"shared/fault", "shared/plugin", "shared/pb/...", "shared/internal/wire"}, reason: "kinds do not know each other"},
		{from: "shared/doctor", may: []string{"shared/fault", "shared/plugin", "shared/pb/...", "shared/internal/wire"}, reason: "kinds do not know each other"},
		{from: "shared/classifier", may: []string{"shared/fault", "shared/plugin", "shared/pb/...", "shared/internal/wire"}, reason: "kinds do not know each other"},
		{from: "shared/pluginkit", may: append([]string{"shared/pb/...", "shared/internal/wire"}, sharedKinds...), reason: "strangers compile this"},
		{from: "shared/pluginkit/plugintest", may: append([]string{"shared/pluginkit"}, sharedKinds...), reason: "strangers test with this"},
		{from: "shared/control", may: []string{"shared/fault"}, reason: "the API's words import nobody"},
		{from: "shared/gatewaytest", may: []string{"internal/frame"}, reason: "the emulator is nobody's friend"},
		{from: "plugins/...", may: append([]string{"plugins/...", "shared/pluginkit", "shared/shim/..."}, sharedKinds...), reason: "an in-tree plugin may use nothing that a stranger could not"},
		{from: "examples/...", may: append([]string{"shared/pluginkit"}, sharedKinds...), reason: "an example is a stranger"},
		{from: "internal/frame", reason: "shapes, no meanings"},
		{from: "internal/version", reason: "build information"},
		{from: "internal/testreal", reason: "it finds an installation"},
		{from: "internal/archtest", reason: "it reads the others"},
		{from: "test/...", may: []string{"internal/testreal", "internal/frame", "shared/gatewaytest"}, reason: "black box: no imports of host"},
	}
}

func matches(pattern, pkg string) bool {
	if dir, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == dir || strings.HasPrefix(pkg, dir+"/")
	}
	return pattern == pkg
}
