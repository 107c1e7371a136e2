package pluginspec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/shared/plugin"
)

// WrongUses returns a fault for each place where a gateway uses a plugin as what it does not serve as.
func WrongUses(cfg *config.Config, name string, serves []plugin.Kind) config.Faults {
	var out config.Faults
	words := make([]string, 0, len(serves))
	for _, k := range serves {
		words = append(words, string(k))
	}
	for _, of := range cfg.GatewayNames() {
		g := cfg.Gateways[of]
		wrong := func(kind plugin.Kind, key ...string) {
			if slices.Contains(serves, kind) {
				return
			}
			at := append([]string{"gateways", of}, key...)
			out = append(out, config.Fault{
				File: cfg.Path, Line: cfg.Line(at...), Key: strings.Join(at, "."),
				Message: fmt.Sprintf("plugin %q does not serve as %s", name, kind),
				Hint:    "name another plugin there; this one serves as " + strings.Join(words, ", "),
			})
		}
		if g.Launcher == name {
			wrong(plugin.KindLauncher, "launcher")
		}
		for _, list := range []struct {
			key   string
			kind  plugin.Kind
			names []string
		}{
			{"unload", plugin.KindUnloader, g.Unload},
			{"doctors", plugin.KindDoctor, g.Doctors},
			{"classifiers", plugin.KindClassifier, g.Classifiers},
		} {
			if i := slices.Index(list.names, name); i >= 0 {
				wrong(list.kind, list.key, strconv.Itoa(i))
			}
		}
	}
	return out
}

// ProgramFault returns the fault of a gateway whose launch cannot be made: what check found, at its place.
func ProgramFault(cfg *config.Config, gateway string, err error, hint string) config.Fault {
	key := []string{"gateways", gateway, "launch", "command"}
	return config.Fault{
		File: cfg.Path, Line: cfg.Line(key...), Key: strings.Join(key, "."), Message: err.Error(), Hint: hint,
	}
}
