package plugintool

import (
	"context"
	"errors"
	"io/fs"

	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/shared/fault"
)

// Seal writes the sums of all files that the plugin of a directory runs from into its plugin.toml; the rest of that stays as it is.
// Nothing is written when anything is wrong; the error tells all of it.
func Seal(ctx context.Context, dir string) (manifest.Sealed, error) {
	sealed, err := manifest.Seal(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return manifest.Sealed{}, fault.Wrap(fault.NotFound, "cannot seal "+dir, err).WithHint("name the directory of a plugin, with its " + manifest.Name)
	}
	return sealed, err
}
