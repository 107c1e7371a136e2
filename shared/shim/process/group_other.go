//go:build !linux

package process

import (
	"fmt"
	"os"
	"time"
)

// MakeGroup returns ErrUnsupported here.
func MakeGroup(string) (Group, error) {
	return Group{}, fmt.Errorf("cannot make control group: %w", ErrUnsupported)
}

// FindGroup returns ErrUnsupported here.
func FindGroup(string) (Group, error) { return Group{}, ErrUnsupported }

// GroupOf returns ErrUnsupported here.
func GroupOf(int, string) (Group, error) { return Group{}, ErrUnsupported }

// SweepGroups has nothing to sweep here.
func SweepGroups(string, time.Duration) {}

// Open returns ErrUnsupported here.
func (g Group) Open() (*os.File, error) { return nil, ErrUnsupported }

func (g Group) pids() []int { return nil }

func (g Group) kill() {}

// Remove has nothing to remove here.
func (g Group) Remove() error { return nil }
