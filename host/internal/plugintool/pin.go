package plugintool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/internal/atomicfile"
)

// Pinned is the checksum of one plugin.
type Pinned struct {
	Plugin string `json:"plugin"`
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	Before string `json:"before,omitempty"` // the former checksum; "" when there was none
}

// Pin returns the checksums of the named plugins; without names, of all plugins that are used. With write it puts them
// into the configuration file; a running host uses them when it next reads its configuration. Errors: a plugin or its
// file does not exist or may not be used; the configuration file belongs to another user, has a form that is not
// edited, or was changed meanwhile. With an error, nothing is written.
func Pin(ctx context.Context, path string, names []string, write bool) ([]Pinned, error) {
	cfg, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		names = cfg.UsedPlugins()
	}
	var pins []Pinned
	for _, name := range names {
		p := cfg.Plugins[name]
		if p == nil {
			return nil, fmt.Errorf("there is no plugin %q", name)
		}
		file, sum, err := pluginhost.Checksum(ctx, pluginhost.Spec{Name: name, Path: p.Path}, cfg.PluginDir)
		if err != nil {
			return nil, err
		}
		pins = append(pins, Pinned{Plugin: name, Path: file, SHA256: sum, Before: p.SHA256})
	}
	if !write {
		return pins, nil
	}
	if cfg.Path == "" {
		return nil, errors.New("there is no configuration file to write to; use --print, and make one")
	}
	return pins, rewrite(cfg.Path, pins)
}

func rewrite(path string, pins []Pinned) error {
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("cannot pin: %w", err)
	}
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("cannot pin: %w", err)
	}
	if !config.Ours(info) {
		return fmt.Errorf("cannot pin: %s belongs to another user; run this as its owner", file)
	}
	before, err := os.ReadFile(file) //nolint:gosec // the operator's configuration
	if err != nil {
		return fmt.Errorf("cannot pin: %w", err)
	}
	text := before
	for _, p := range pins {
		if text, err = config.Pin(path, text, p.Plugin, p.SHA256); err != nil {
			return fmt.Errorf("cannot pin: %w", err)
		}
	}
	if bytes.Equal(text, before) {
		return nil
	}
	if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, before) { //nolint:gosec // as above
		return fmt.Errorf("cannot pin: %s was changed meanwhile; try again", file)
	}
	return atomicfile.Write(file, text, info.Mode().Perm())
}
