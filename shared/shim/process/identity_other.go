//go:build !linux && !darwin

package process

import (
	"syscall"
	"time"
)

// BootID is the identity of this boot of the machine; here it is ErrUnsupported.
func BootID() (string, error) { return "", ErrUnsupported }

func lookup(int) (entry, error) { return entry{}, ErrUnsupported }

func (id Identity) signal(syscall.Signal) error { return ErrUnsupported }

func (id Identity) signalGroup(syscall.Signal) error { return ErrUnsupported }

func table() ([]entry, error) { return nil, ErrUnsupported }

func hasEnv(int, string) bool { return false }

func environ(int) []string { return nil }

func began(string) (time.Time, error) { return time.Time{}, ErrUnsupported }

// Booted is when the kernel was started; here it is ErrUnsupported.
func Booted() (time.Time, error) { return time.Time{}, ErrUnsupported }
