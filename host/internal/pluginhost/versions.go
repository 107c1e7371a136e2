package pluginhost

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

// Versions is a range of versions of a service, both ends included.
type Versions struct{ Min, Max uint32 }

// String is "1", or "1 to 2".
func (v Versions) String() string {
	if v.Min == v.Max {
		return fmt.Sprint(v.Min)
	}
	return fmt.Sprintf("%d to %d", v.Min, v.Max)
}

func (v Versions) valid() bool { return v.Min > 0 && v.Min <= v.Max }

// Speaks returns the versions in which this host speaks each service.
func Speaks() map[plugin.Kind]Versions {
	out := map[plugin.Kind]Versions{}
	for _, kind := range plugin.Kinds() {
		out[kind] = Versions{pluginkit.ServiceVersion, pluginkit.ServiceVersion}
	}
	return out
}

// Service is a service of a plugin as far as this host can use it.
type Service struct {
	Kind         plugin.Kind
	Plugin       []Versions // as the plugin announced them, usually one range
	Host         Versions
	Version      uint32   // in which they talk: the highest that both speak; 0: there is none
	Capabilities []string // announced for that version
	Err          error    // when there is none: why, and in its hint what to do
}

// negotiate finds the version of each service in which host and plugin talk. Each service is negotiated by itself: one
// without a common version is not used, nor one that starts processes of a plugin that speaks without mutual TLS
// (socket); the others are. Errors: fault.Unsupported, when none is left.
func negotiate(info plugin.Info, host string, speaks map[plugin.Kind]Versions, socket bool) ([]Service, error) {
	var out []Service
	for _, s := range info.Services {
		i := slices.IndexFunc(out, func(o Service) bool { return o.Kind == s.Kind })
		if i < 0 {
			i = len(out)
			out = append(out, Service{Kind: s.Kind, Host: speaks[s.Kind]})
		}
		out[i].Plugin = append(out[i].Plugin, Versions{s.MinVersion, s.MaxVersion})
	}
	left := 0
	for i := range out {
		s := &out[i]
		who := strings.TrimSpace(info.Name + " " + info.Version)
		if socket && needsMTLS(s.Kind) {
			s.Err = unproved(who, s.Kind)
			continue
		}
		if s.Version = common(s.Plugin, s.Host); s.Version > 0 {
			s.Capabilities = capabilities(info, s.Kind, s.Version)
			left++
			continue
		}
		s.Err = s.apart(who, host)
	}
	if left > 0 {
		return out, nil
	}
	return out, nothingLeft(info, out)
}

// capabilities are what a plugin announces for a version of a service.
func capabilities(info plugin.Info, kind plugin.Kind, version uint32) []string {
	var out []string
	for _, s := range info.Services {
		if s.Kind == kind && s.MinVersion <= version && version <= s.MaxVersion {
			out = append(out, s.Capabilities...)
		}
	}
	return out
}

// common returns the highest version that is in one of the plugin's ranges and in the host's; 0 when there is none.
func common(ranges []Versions, host Versions) uint32 {
	best := uint32(0)
	for _, v := range ranges {
		if top := min(v.Max, host.Max); v.valid() && host.valid() && top >= max(v.Min, host.Min) {
			best = max(best, top)
		}
	}
	return best
}

// apart says in words that there is no common version, and which side to upgrade (ADR 23).
func (s Service) apart(who, host string) error {
	var ranges []string
	above, below := true, true
	for _, v := range s.Plugin {
		ranges = append(ranges, v.String())
		above, below = above && v.Min > s.Host.Max, below && v.Max < s.Host.Min
		if !v.valid() {
			return fault.New(fault.Unsupported,
				fmt.Sprintf("%s announces the %s service in versions %d to %d, which is no range of versions", who,
					s.Kind, v.Min, v.Max)).
				WithHint("upgrade the plugin, or tell its author; `gatehost plugin verify` shows what it should answer")
		}
	}
	hint := "upgrade gatehost, or the plugin"
	switch {
	case above:
		hint = "upgrade gatehost, or go back to a plugin that speaks version " + fmt.Sprint(s.Host.Max)
	case below:
		hint = "upgrade the plugin"
	}
	return fault.New(fault.Unsupported,
		fmt.Sprintf("%s speaks the %s service in %s %s, this host (gatehost %s) speaks %s",
			who, s.Kind, plural(s.Plugin), strings.Join(ranges, " and "), host, s.Host)).WithHint(hint)
}

// needsMTLS reports whether a kind is used by mutual TLS only: who can call a launcher or an unloader can start and end
// programs outside of every sandbox, and a secret in an environment can be read by other programs of the user.
func needsMTLS(k plugin.Kind) bool { return k == plugin.KindLauncher || k == plugin.KindUnloader }

// unproved says why a kind is not used over a plain socket.
func unproved(who string, k plugin.Kind) error {
	return fault.New(fault.Unsupported, fmt.Sprintf(
		"%s serves as %s by transport = %q, and the host calls a launcher or an unloader by %q only", who, k,
		TransportSocket, TransportMTLS)).
		WithHint(fmt.Sprintf("take transport = %q out of its plugin.toml and of [plugins.NAME] in config.toml, if it "+
			"speaks mutual TLS as the Go SDK does; else use another plugin as %s", TransportSocket, k))
}

func plural(ranges []Versions) string {
	if len(ranges) == 1 && ranges[0].Min == ranges[0].Max {
		return "version"
	}
	return "versions"
}

// nothingLeft says why a plugin cannot be used at all.
func nothingLeft(info plugin.Info, services []Service) error {
	switch {
	case len(services) > 0:
		var why, hints []string
		for _, s := range services {
			why = append(why, s.Err.Error())
			if hint := fault.HintOf(s.Err); !slices.Contains(hints, hint) {
				hints = append(hints, hint)
			}
		}
		return fault.New(fault.Unsupported, strings.Join(why, "; ")).WithHint(strings.Join(hints, "; "))
	case len(info.UnknownKinds) > 0:
		return fault.New(fault.Unsupported, "it serves nothing that this host knows: "+strangeKinds(info)).WithHint(
			"upgrade gatehost")
	default:
		return fault.New(fault.Unsupported, "it serves nothing").WithHint("upgrade the plugin, or tell its author")
	}
}

// strangeKinds names services that this host does not know.
func strangeKinds(info plugin.Info) string {
	var numbers []string
	for _, k := range info.UnknownKinds {
		numbers = append(numbers, fmt.Sprint(k))
	}
	return "kinds of a newer contract, by number: " + strings.Join(numbers, ", ")
}

// service returns what a process serves of a kind.
func (g *generation) service(k plugin.Kind) (Service, bool) {
	i := slices.IndexFunc(g.services, func(s Service) bool { return s.Kind == k })
	if i < 0 {
		return Service{}, false
	}
	return g.services[i], true
}

// serves reports whether a process serves a kind in a version that this host speaks.
func (g *generation) serves(k plugin.Kind) bool {
	s, ok := g.service(k)
	return ok && s.Version > 0
}
