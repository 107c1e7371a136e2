// Package shared holds the source that an author of plugins needs, for `gatehost plugin new`: until this module is
// published, a new project gets a copy of it. No other package imports this one: a plugin must not carry it.
package shared

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// All but what only the host and its tests need: control, the emulator and the shim's own side.
//
//go:embed LICENSE proto/gatehost/plugin/v1alpha1/*.proto
//go:embed fault/*.go plugin/*.go launcher/*.go unloader/*.go doctor/*.go classifier/*.go
//go:embed pb/pluginv1alpha1/*.go internal/wire/*.go pluginkit/*.go pluginkit/plugintest/*.go
//go:embed shim/*.go shim/outlog/*.go shim/process/*.go shimlauncher/*.go
//go:embed conformance/*.go conformance/incidents/*.json
var source embed.FS

// SDK returns the Go source by its path from the root of the module, without tests, with what it embeds, and the
// license.
func SDK() (map[string][]byte, error) {
	files, err := read(".", func(name string) bool {
		return strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") ||
			strings.HasPrefix(name, "conformance/incidents/")
	}, "shared")
	if err != nil {
		return nil, err
	}
	if files["LICENSE"], err = source.ReadFile("LICENSE"); err != nil {
		return nil, err
	}
	return files, nil
}

// Protos returns the contract, by the paths with which its files import each other.
func Protos() (map[string][]byte, error) {
	return read("proto", func(name string) bool { return strings.HasSuffix(name, ".proto") }, "")
}

// read returns the wanted files below root, by their paths from there, below prefix.
func read(root string, wanted func(name string) bool, prefix string) (map[string][]byte, error) {
	out := map[string][]byte{}
	err := fs.WalkDir(source, root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !wanted(name) {
			return err
		}
		data, err := source.ReadFile(name)
		out[path.Join(prefix, strings.TrimPrefix(name, root+"/"))] = data
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the embedded source: %w", err)
	}
	return out, nil
}
