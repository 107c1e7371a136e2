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
	// Roots are processes whose descendants are meant, whatever their session or process group. A root that is gone has
	// none.
	Roots []Identity
	// WithRoots says that the roots are meant too.
	WithRoots bool
	// Env is a NAME=value that marks members which left the tree; "" marks none.
	Env string
	// Group is the control group of the tree: each process in it is a member. nil: there is none.
	Group *Group
	// Sockets finds by a listening socket that it shares with a member who cannot be found otherwise. It looks at the
	// descriptors of all processes, so it is for the end of a tree only. nil: not looked at.
	Sockets *Sockets
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
	if q.Group != nil {
		for _, pid := range q.Group.pids() {
			if e, ok := byPID[pid]; ok {
				members[pid] = e
				walk(pid)
			}
		}
	}
	if q.Sockets != nil {
		for _, e := range q.Sockets.sharers(q.Roots, members, all) {
			members[e.PID] = e
			walk(e.PID)
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

// Told is the processes that got a SIGTERM.
type Told map[Identity]bool

// Terminate sends SIGTERM to the process group that leader leads, at once, and adds its members to told. A wrapper that
// passes no signal on (a shell, npm) keeps it from the program behind it no more. What has left the group did so on
// purpose, as the spawn broker of OpenClaw, and is ended by the leader or after it. Errors: ErrGone.
func Terminate(leader Identity, told Told) error {
	if leader.PID <= 1 || leader.PID == os.Getpid() {
		return fmt.Errorf("cannot signal the group of pid %d: refused, it is not a supervised process", leader.PID)
	}
	all, err := table()
	if err != nil {
		return err
	}
	for _, e := range all {
		if e.pgrp == leader.PID {
			told[e.Identity] = true
		}
	}
	return leader.signalGroup(syscall.SIGTERM)
}

// within reports which of found were told, or are below a living one that was: a program may start others to end in
// order.
func (t Told) within(found []entry) map[int]bool {
	byPID := make(map[int]entry, len(found))
	for _, e := range found {
		byPID[e.PID] = e
	}
	told := map[int]bool{}
	for _, e := range found {
		for up, depth := e, 0; depth < len(found); depth++ {
			if t[up.Identity] {
				told[e.PID] = true
				break
			}
			parent, known := byPID[up.ppid]
			if !known {
				break
			}
			up = parent
		}
	}
	return told
}

// killBound limits how long End fights what starts anew faster than it is killed, or cannot be killed.
const killBound = 5 * time.Second

// End ends what q means: SIGTERM, up to grace of waiting, then SIGKILL, looking again until nothing is left. Grace 0
// kills at once. The done context cuts the grace short, never the kill. It answers how many processes were signalled
// and fails when some survived SIGKILL for five seconds.
func End(done context.Context, q Query, grace time.Duration) (int, error) {
	return EndTold(done, q, grace, nil)
}

// EndTold is End after Terminate: the processes in told, and those that they have started since, get no SIGTERM. Many
// programs take a second one for a request to end at once.
func EndTold(done context.Context, q Query, grace time.Duration, told Told) (int, error) {
	seen := make(map[Identity]bool)
	if grace > 0 {
		found, err := find(q)
		already := told.within(found)
		left := make([]Identity, len(found))
		for i, e := range found {
			left[i], seen[e.Identity] = e.Identity, true
			if !already[e.PID] {
				_ = e.Signal(syscall.SIGTERM) // as in signalAll
			}
		}
		deadline := time.Now().Add(grace)
		for err == nil && len(left) > 0 && time.Until(deadline) > 0 && await(done, left, time.Until(deadline)) {
			left, err = signalAll(q, 0, seen)
		}
		if err != nil || len(left) == 0 {
			return len(seen), err
		}
	}
	return kill(q, seen)
}

func kill(q Query, seen map[Identity]bool) (int, error) {
	for deadline := time.Now().Add(killBound); ; {
		left, err := signalAll(q, syscall.SIGKILL, seen)
		if err != nil || len(left) == 0 {
			return len(seen), err
		}
		if time.Now().After(deadline) {
			names := make([]string, len(left))
			for i, id := range left {
				names[i] = id.String()
			}
			return len(seen), fmt.Errorf("cannot end process tree: %s survived SIGKILL", strings.Join(names, ", "))
		}
		await(context.Background(), left, time.Until(deadline))
	}
}

// signalAll signals each living member and answers them all; sig 0 sends no signal.
func signalAll(q Query, sig syscall.Signal, seen map[Identity]bool) ([]Identity, error) {
	ids, err := Find(q)
	if err != nil {
		return nil, err
	}
	//mutate:ignore whether any is left: each process is killed by itself, too, and an empty group has none
	if sig == syscall.SIGKILL && q.Group != nil && len(ids) > 0 {
		q.Group.kill() // at once, so that none can start another meanwhile
	}
	for _, id := range ids {
		seen[id] = true
		if sig != 0 {
			_ = id.Signal(sig) // gone meanwhile, or not ours to kill: the next look tells
		}
	}
	return ids, nil
}

// look is how long a dying tree is left alone at most: who is new in it has to be seen.
const look = 100 * time.Millisecond

// await sleeps until all of ids are gone, a look is due, or most is over; false when done ended it.
func await(done context.Context, ids []Identity, most time.Duration) bool {
	ctx, cancel := context.WithTimeout(done, min(look, most))
	defer cancel()
	for _, id := range ids {
		if id.WaitGone(ctx) != nil { //mutate:ignore a look too early costs another look
			break
		}
	}
	return done.Err() == nil
}

func readBounded(r io.Reader, limit int64) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, limit))
}
