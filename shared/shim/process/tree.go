package process

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Query says which processes belong together.
type Query struct {
	// Roots are processes whose descendants are meant, whatever their session or process group. A root that is gone has none.
	Roots []Identity
	// WithRoots says that the roots are meant too.
	WithRoots bool
	// Env is a NAME=value that marks members which left the tree; "" marks none.
	Env string
}

// Find lists the living processes that q means, without the caller's own, in order of pid.
func Find(q Query) ([]Identity, error) {
	found, err := find(q)
	if err != nil {
		return nil, err
	}
	ids := make([]Identity, len(found))
	for i, e := range found {
		ids[i] = e.Identity
	}
	return ids, nil
}

// Usage is what a tree costs.
type Usage struct {
	Processes int
	RSSBytes  uint64 // sum over the tree; shared pages count once per process. 0 when not known.
}

// Measure sums up the processes that q means.
func Measure(q Query) (Usage, error) {
	found, err := find(q)
	u := Usage{Processes: len(found)}
	for _, e := range found {
		u.RSSBytes += e.rss
	}
	return u, err
}

func find(q Query) ([]entry, error) {
	all, err := table()
	if err != nil {
		return nil, err
	}
	children := make(map[int][]entry, len(all))
	byPID := make(map[int]entry, len(all))
	for _, e := range all {
		children[e.ppid] = append(children[e.ppid], e)
		byPID[e.PID] = e
	}
	members := make(map[int]entry)
	var walk func(pid int)
	walk = func(pid int) {
		for _, c := range children[pid] {
			if _, seen := members[c.PID]; !seen {
				members[c.PID] = c
				walk(c.PID)
			}
		}
	}
	for _, root := range q.Roots {
		e, ok := byPID[root.PID]
		if !ok || e.Identity != root {
			continue // the pid is free, or a stranger's by now
		}
		if q.WithRoots {
			members[root.PID] = e
		}
		walk(root.PID)
	}
	if q.Env != "" {
		for _, e := range all {
			if _, seen := members[e.PID]; !seen && hasEnv(e.PID, q.Env) {
				members[e.PID] = e
				walk(e.PID)
			}
		}
	}
	delete(members, os.Getpid())
	found := make([]entry, 0, len(members))
	for _, e := range members {
		found = append(found, e)
	}
	slices.SortFunc(found, func(a, b entry) int { return a.PID - b.PID })
	return found, nil
}

// killBound limits how long End fights what starts anew faster than it is killed, or cannot be killed.
const killBound = 5 * time.Second

// End ends what q means: SIGTERM, up to grace of waiting, then SIGKILL, looking again until nothing is left. Grace 0 kills at
// once. The done context cuts the grace short, never the kill. It answers how many processes were signalled and fails when
// some survived SIGKILL for five seconds.
func End(done context.Context, q Query, grace time.Duration) (int, error) {
	seen := make(map[Identity]bool)
	if grace > 0 {
		left, err := signalAll(q, syscall.SIGTERM, seen)
		if err != nil || left == 0 {
			return len(seen), err
		}
		deadline := time.Now().Add(grace)
		for left > 0 && time.Now().Before(deadline) && pause(done) {
			if left, err = signalAll(q, 0, seen); err != nil {
				return len(seen), err
			}
		}
		if left == 0 {
			return len(seen), nil
		}
	}
	return kill(q, seen)
}

func kill(q Query, seen map[Identity]bool) (int, error) {
	for deadline := time.Now().Add(killBound); ; {
		left, err := signalAll(q, syscall.SIGKILL, seen)
		if err != nil || left == 0 {
			return len(seen), err
		}
		if time.Now().After(deadline) {
			ids, _ := Find(q)
			names := make([]string, len(ids))
			for i, id := range ids {
				names[i] = id.String()
			}
			return len(seen), fmt.Errorf("cannot end process tree: %s survived SIGKILL", strings.Join(names, ", "))
		}
		pause(context.Background())
	}
}

// signalAll signals each living member, or only counts them when sig is 0. Whoever cannot be signalled counts as left.
func signalAll(q Query, sig syscall.Signal, seen map[Identity]bool) (int, error) {
	ids, err := Find(q)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		seen[id] = true
		if sig != 0 {
			_ = id.Signal(sig) // gone meanwhile, or not ours to kill: the next look tells
		}
	}
	return len(ids), nil
}

// pause waits one beat of the watch on a dying tree; false when done ended it.
func pause(done context.Context) bool {
	t := time.NewTimer(20 * time.Millisecond)
	defer t.Stop()
	select {
	case <-done.Done():
		return false
	case <-t.C:
		return true
	}
}

func readBounded(r io.Reader, limit int64) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, limit))
}
