//go:build !linux || !(amd64 || arm64)

package sandbox

import "os"

// Watch hears nothing here.
type Watch struct{}

// NewWatch gives none.
func NewWatch(Spec, ...string) (*Watch, error) { return nil, nil } //nolint:nilnil // none is an answer

// Child is nothing.
func (*Watch) Child() *os.File { return nil }

// Close does nothing.
func (*Watch) Close() {}

// Run hears nothing.
func (*Watch) Run(func(Access)) {}
