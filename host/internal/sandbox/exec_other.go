//go:build !linux

package sandbox

import "errors"

// Supported: only Linux has landlock.
func Supported() Support { return Support{} }

// Exec can shut nothing in here.
func Exec([]string) error {
	return errors.New("cannot shut the plugin in: this platform has no landlock")
}
