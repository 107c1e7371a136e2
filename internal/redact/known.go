package redact

import (
	"slices"
	"sync"
	"sync/atomic"
)

// maxKnown bounds the values that a Known remembers: the oldest are forgotten.
const maxKnown = 512

// Known collects the secrets that a process has seen, so that every part of it hides all of them. A secret stays known
// after it was replaced, because a log or a plugin may still quote it. A nil Known knows nothing. Safe for
// concurrent use.
type Known struct {
	mu     sync.Mutex
	values []string // oldest first
	now    atomic.Pointer[Redactor]
}

// Learn adds secrets. Values under 8 characters are ignored: they would hide words.
func (k *Known) Learn(values []string) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	known := len(k.values)
	for _, v := range values {
		if len(v) >= minValue && !slices.Contains(k.values, v) {
			k.values = append(k.values, v)
		}
	}
	if len(k.values) == known {
		return
	}
	k.values = slices.Clone(k.values[max(0, len(k.values)-maxKnown):])
	k.now.Store(New(k.values))
}

// Forget removes secrets that no longer open anything. Without it, secrets that are made often would push out others.
func (k *Known) Forget(values []string) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	known := len(k.values)
	k.values = slices.DeleteFunc(slices.Clone(k.values), func(v string) bool { return slices.Contains(values, v) })
	if len(k.values) != known {
		k.now.Store(New(k.values))
	}
}

// Redactor returns a redactor for all that is known now.
func (k *Known) Redactor() *Redactor {
	if k == nil {
		return nil
	}
	return k.now.Load()
}
