//go:build !linux

package sandbox

import "time"

// Member is a process that a sandbox holds; there is none here.
type Member struct {
	PID   int
	Mark  uint64
	RSS   uint64
	Tasks int
}

// Members returns none.
func Members(func(uint64) bool) []Member { return nil }

// CanMark reports false: only Linux has marks.
func CanMark() bool { return false }

// MarkOf returns none.
func MarkOf(int) uint64 { return 0 }

// EndMembers has nothing to end.
func EndMembers(func(uint64) bool, time.Duration) int { return 0 }
