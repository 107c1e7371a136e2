package plugintool

import (
	"context"
	"errors"
	"io/fs"

	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/shared/fault"
)

// Seal writes the checksums of all files from which the plugin of a directory runs into its plugin.toml; the rest of
// that file stays as it is. When anything is wrong it writes nothing, and the error lists all faults.
func Seal(ctx context.Context, dir string) (manifest.Sealed, error) {
	sealed, err := manifest.Seal(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return manifest.Sealed{}, fault.Wrap(fault.NotFound, "cannot seal "+dir, err).
			WithHint("name the directory of a plugin, with its " + manifest.Name)
	}
	return sealed, err
}
