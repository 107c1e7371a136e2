// Package conditions keeps what is not well with the host itself, and publishes every change of it. What is not well with a gateway is made in
// the fold of package observe.
package conditions

import (
	"slices"
	"sync"
	"time"

	"github.com/gatehost/gatehost/shared/control"
)

// Set is the conditions of one host. Safe for concurrent use.
type Set struct {
	publish func(control.ConditionData)

	mu  sync.Mutex // guards now: the journal, a reload and readers of the status use it from goroutines of their own
	now []control.Condition
}

// New makes an empty set. publish is told of every change, outside the lock.
func New(publish func(control.ConditionData)) *Set { return &Set{publish: publish} }

// Set makes a condition come, say what it says now, or go. It holds since it came, whatever it says later.
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

// List is the conditions that hold now, oldest first.
func (s *Set) List() []control.Condition {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.now)
}
