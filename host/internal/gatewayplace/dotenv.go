package gatewayplace

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxDotenv is the largest .env file that OpenClaw reads, in bytes.
const maxDotenv = 1 << 20

var errUnfit = errors.New("not a regular file of a usual size")

func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxDotenv { // opening a pipe would hang
		return nil, errUnfit
	}
	f, err := os.Open(path) //nolint:gosec // the gateway's own
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxDotenv))
}

// dotenv returns what the .env files of the state directory and of the default one set; the first file has priority. A
// file that cannot be read says nothing, as for OpenClaw.
func (f finder) dotenv() map[string]string {
	out := map[string]string{}
	dirs := []string{f.stateDir()}
	if home := f.home(); home != "" {
		dirs = append(dirs, filepath.Join(home, dirName))
	}
	for i, dir := range dirs {
		if dir == "" || i > 0 && dir == dirs[0] {
			continue
		}
		text, err := f.q.Read(filepath.Join(dir, ".env"))
		if err != nil {
			continue
		}
		for k, v := range parseDotenv(string(text)) {
			if _, known := out[k]; !known {
				out[k] = v
			}
		}
	}
	return out
}

// parseDotenv reads lines NAME=value. A value may be in quotes; without them it ends at a #.
func parseDotenv(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" || strings.HasPrefix(name, "#") {
			continue
		}
		if value != "" && strings.ContainsRune("\"'`", rune(value[0])) {
			if end := strings.IndexByte(value[1:], value[0]); end >= 0 {
				out[name] = value[1 : 1+end]
				continue
			}
		}
		value, _, _ = strings.Cut(value, "#")
		out[name] = strings.TrimSpace(value)
	}
	return out
}
