//go:build mutants

package mutant

import "sync/atomic"

var planted atomic.Pointer[Name]

// On reports whether a bug is planted.
func On(n Name) bool {
	p := planted.Load()
	return p != nil && *p == n
}

// Plant switches one bug on and all others off; "" switches all off.
func Plant(n Name) { planted.Store(&n) }
