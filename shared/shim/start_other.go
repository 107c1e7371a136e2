//go:build !unix

package shim

import "syscall"

const supported = false

func detached() *syscall.SysProcAttr { return nil }
