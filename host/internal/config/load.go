package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"github.com/gatehost/gatehost/host/internal/tomltext"
	"github.com/gatehost/gatehost/host/internal/trustfile"
	"github.com/gatehost/gatehost/internal/foreignfile"
)

// Load reads a configuration. An empty path means DefaultPath if that file exists, and Default otherwise. The error
// is a Faults with everything that is wrong. When only files that it names are not trusted, the configuration is
// returned, too: for display, not for use.
func Load(path string) (*Config, error) {
	return load(path, func([]byte) *Fault { return nil })
}

// LoadAgain reads the configuration for a reload; path is the file of the active one. Unlike Load it rejects an
// empty file: an editor is more likely about to write it than a person wants nothing but the defaults.
func LoadAgain(path string) (*Config, error) {
	return load(path, func(data []byte) *Fault {
		if len(bytes.TrimSpace(data)) > 0 {
			return nil
		}
		return &Fault{
			Message: "the file is empty",
			Hint:    "reload when it is saved; to use only the defaults, write version = 1",
		}
	})
}

// load lets refuse check the text before it is parsed.
func load(path string, refuse func([]byte) *Fault) (*Config, error) {
	c, err := loadFile(path, refuse)
	if err == nil {
		c.checkHome()
	}
	return c, err
}

func loadFile(path string, refuse func([]byte) *Fault) (*Config, error) {
	if path == "" {
		path = DefaultPath()
		if _, err := os.Lstat(path); path == "" || errors.Is(err, fs.ErrNotExist) {
			return Default()
		}
	}
	if p, ok := errors.AsType[*trustfile.Problem](trustfile.Check(path)); ok {
		return nil, Faults{{File: path, Message: "cannot use configuration: " + p.Error(), Hint: p.Hint}}
	}
	data, err := read(path)
	if err != nil {
		return nil, Faults{{File: path, Message: err.Error(), Hint: hintFor(err)}}
	}
	if f := refuse(data); f != nil {
		f.File = path
		return nil, Faults{*f}
	}
	c, err := Parse(path, data)
	if err != nil {
		return nil, err
	}
	return c, c.checkFiles(path)
}

// checkHome warns when root works in the home directory of another user, as after `sudo` that keeps HOME: its files
// there lock that user out.
func (c *Config) checkHome() {
	home, err := os.UserHomeDir()
	if err != nil {
		return
	}
	if owner := homeOf(os.Geteuid(), home); owner != "" {
		c.warnings = append(c.warnings, Fault{
			File: c.Path, Message: fmt.Sprintf("gatehost runs as root with HOME=%s, the home of %s: files of root there can "+
				"lock that user out of OpenClaw and of gatehost", home, owner),
			Hint: "run gatehost as that user, or with root's own HOME: sudo -H",
		})
	}
}

// checkFiles refuses files of secrets that other users could change or read. One that does not exist yet is a fault
// only when it is needed.
func (c *Config) checkFiles(file string) error {
	var faults Faults
	for _, name := range c.GatewayNames() {
		g := c.Gateways[name]
		for _, one := range []struct {
			path string
			key  []string
		}{
			{g.Token.File, []string{"gateways", name, "token", "file"}},
			{g.Launch.EnvFile, []string{"gateways", name, "launch", "env_file"}},
		} {
			if one.path == "" {
				continue
			}
			warning, err := SecretFile(one.path)
			if p, ok := errors.AsType[*trustfile.Problem](err); ok {
				faults = append(faults, c.where.Fault(file, one.key, p.Error(), p.Hint))
			}
			if warning != nil {
				c.warnings = append(c.warnings, c.where.Fault(file, one.key, warning.Error(), warning.Hint))
			}
		}
	}
	faults.Sort()
	return faults.Err()
}

// Warnings are what is not well with a configuration, or with the files that it names, and is no fault.
func (c *Config) Warnings() Faults { return c.warnings }

// SecretFile checks a file that holds secrets: the error is a *trustfile.Problem when another user could change or read
// it, or one of the file system. A warning is what the operator's mount cannot do better.
func SecretFile(path string) (warning *trustfile.Problem, err error) {
	if err := trustfile.Check(path); err != nil {
		return nil, err
	}
	return trustfile.Secret(path)
}

func read(path string) ([]byte, error) {
	f, _, err := foreignfile.Open(path)
	if errors.Is(err, foreignfile.ErrNotRegular) {
		return nil, errors.New("cannot read configuration: not a regular file")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read configuration: %w", cause(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, tomltext.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read configuration: %w", cause(err))
	}
	return data, nil
}

// cause removes the path from an error, since the fault names it already.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

func hintFor(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "check the path, or run without --config to use the defaults"
	case errors.Is(err, fs.ErrPermission):
		return "allow this user to read the file"
	default:
		return ""
	}
}

// Parse reads a configuration from its text; name is the path of the file, and relative paths in the text start at
// its directory. The error is a Faults with everything that is wrong, in the order of the file.
func Parse(name string, data []byte) (*Config, error) {
	d, raw, err := decode(name, data)
	if err != nil {
		return nil, err
	}
	c := defaults()
	c.where = d.where
	if abs, err := filepath.Abs(name); err == nil {
		c.Path = abs
	}
	if v, ok := raw["version"].(int64); ok && v > SupportedVersion { // the other keys may have another meaning by then
		d.fault([]string{"version"}, "update gatehost", "%d is newer than this gatehost supports, which is %d", v,
			SupportedVersion)
		return nil, d.faults
	}
	d.table(reflect.ValueOf(c).Elem(), raw, nil)
	c.fill()
	d.check(c)
	d.faults = append(d.faults, c.resolve(name, filepath.Dir(c.Path))...)
	d.faults.Sort()
	if err := d.faults.Err(); err != nil {
		return nil, err
	}
	c.warnOfTransports(d)
	return c, nil
}

// FaultAt returns a fault at the place of a key in the file.
func (c *Config) FaultAt(key []string, message, hint string) Fault {
	return c.where.Fault(c.Path, key, message, hint)
}

// Line returns the line of a key in the file, or of the nearest table around it; 0 without a file.
func (c *Config) Line(key ...string) int { return c.where.Of(key).Line }

// PluginLine returns the line of a key in a plugin's own table; path is dotted, as in a plugin's diagnostics, ""
// for the whole table.
func (c *Config) PluginLine(plugin, path string) int {
	key := []string{"plugins", plugin, "config"}
	return c.where.Of(append(key, splitPath(path)...)).Line
}

// splitPath splits a.b[2].c into its parts.
func splitPath(path string) []string {
	var parts []string
	part := ""
	flush := func() {
		if part != "" {
			parts = append(parts, part)
		}
		part = ""
	}
	for _, r := range path {
		switch r {
		case '.', '[', ']':
			flush()
		default:
			part += string(r)
		}
	}
	flush()
	return parts
}
