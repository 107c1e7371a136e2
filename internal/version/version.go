// Package version holds what the build knows about itself.
package version

import "runtime/debug"

// stamped is set by the linker: -X github.com/gatehost/gatehost/internal/version.stamped=1.2.3
var stamped string

// Version returns the semantic version without a leading v: what the linker stamped, else the module's version,
// else "0.0.0-devel".
func Version() string {
	if stamped != "" {
		return stamped
	}
	if info, ok := debug.ReadBuildInfo(); ok && len(info.Main.Version) > 1 && info.Main.Version[0] == 'v' {
		return info.Main.Version[1:]
	}
	return "0.0.0-devel"
}

// Revision returns the commit that was built, "" when it is unknown.
func Revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
