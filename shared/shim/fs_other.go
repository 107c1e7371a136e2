//go:build !unix

package shim

import "os"

func syncDir(string) error { return nil }

// Lock is ErrUnsupported here.
func Lock(string) (*os.File, error) { return nil, ErrUnsupported }

func lockFolder(string) (*os.File, error) { return nil, ErrUnsupported }

func private(string) error { return nil }

// HoldAlive is ErrUnsupported here.
func HoldAlive(string) (*os.File, error) { return nil, ErrUnsupported }

type lockState int

const (
	lockFree lockState = iota
	lockHeld
	lockUnknown
)

func lockOf(string, string) lockState { return lockUnknown }
