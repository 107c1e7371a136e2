//go:build !linux || !(amd64 || arm64)

package sandbox

import "os"

// Watch sees nothing here.
type Watch struct{}

// NewWatch returns none.
func NewWatch(Spec, ...string) (*Watch, error) { return nil, nil } //nolint:nilnil // none is an answer

// Child returns nothing.
func (*Watch) Child() *os.File { return nil }

// Close does nothing.
func (*Watch) Close() {}

// Run does nothing.
func (*Watch) Run(func(Access)) {}
