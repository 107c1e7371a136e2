//go:build !linux

package sandbox

import "errors"

// Supported returns none: only Linux has landlock.
func Supported() Support { return Support{} }

// Exec always fails here.
func Exec([]string) error {
	return errors.New("cannot sandbox the plugin: this platform has no landlock")
}
