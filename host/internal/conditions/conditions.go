// Package conditions keeps the conditions of the host itself and publishes every change of one. It owns no condition of
// a gateway: package observe makes those in its fold. It imports the types of the control API and nothing else of the
// host.
package conditions

import (
	"slices"
	"sync"
	"time"

	"github.com/gatehost/gatehost/shared/control"
)

// Set has the conditions of one host. It is safe for concurrent use.
type Set struct {
	publish func(control.ConditionData)

	mu  sync.Mutex // guards now: the journal, a reload and readers of the status use it from goroutines of their own
	now []control.Condition
}

// New makes an empty set. It calls publish for every change, without holding the lock.
func New(publish func(control.ConditionData)) *Set { return &Set{publish: publish} }

// Set adds a condition, changes what it says, or removes it when active is false. A condition is known by its code, and
// Since stays the time when it was added, whatever it says later. Set publishes only what changes.
func (s *Set) Set(c control.Condition, active bool) {
	if now, changed := s.set(c, active); changed {
		s.publish(control.ConditionData{Condition: now, Active: active})
	}
}

func (s *Set) set(c control.Condition, active bool) (control.Condition, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.now, func(have control.Condition) bool { return have.Code == c.Code })
	switch {
	case active && i < 0:
		c.Since = control.At(time.Now())
		s.now = append(s.now, c)
		return c, true
	case active:
		c.Since = s.now[i].Since
		changed := c != s.now[i]
		s.now[i] = c
		return c, changed
	case i >= 0:
		gone := s.now[i]
		s.now = slices.Delete(s.now, i, i+1)
		return gone, true
	default:
		return c, false
	}
}

// List returns the conditions that are active now, the oldest first. The caller may change the slice.
func (s *Set) List() []control.Condition {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.now)
}
