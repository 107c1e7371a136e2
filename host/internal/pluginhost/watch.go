package pluginhost

import (
	"context"
	"fmt"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	gops "github.com/shirou/gopsutil/v4/process"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/gatehost/gatehost/shared/fault"
)

// watch is the look at one process while it is the present one. Used by the goroutine of run.
type watch struct {
	s     *supervisor
	gen   *generation
	began time.Time

	fat       int          // looks in a row at which it used more than MemoryMax
	notAgain  time.Time    // it is not replaced for its memory before then
	try       *replacement // of a process that is to take its place; nil: none is under way
	forMemory bool         // why there is, or was, such an attempt
	telling   *telling     // of another table to this process; nil: none is under way
}

// wait returns the process that is ready to take this one's place. It fails with what happened to this one: it ended, stopped
// answering, uses far too much memory, or is no longer wanted, which the end of ctx says; an attempt may then still be under way.
func (w *watch) wait(ctx context.Context) (next *generation, err error) {
	s := w.s
	w.notAgain = w.began.Add(s.delay())
	ticker := time.NewTicker(s.opts.Timing.HealthEvery)
	defer ticker.Stop()
	for {
		wanted, changes, ready, told := s.restarts.wanted, s.changes, (<-chan struct{})(nil), (<-chan struct{})(nil)
		if w.try != nil { // whoever wants another process now is served by that; another table has to wait
			wanted, changes, ready = nil, nil, w.try.done
		}
		if w.telling != nil {
			wanted, changes, told = nil, nil, w.telling.done
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-w.gen.proc.done:
			return nil, s.ended(w.gen)
		case <-wanted:
			w.begin(ctx, nil, false)
		case c := <-changes:
			w.change(ctx, c)
		case <-told:
			w.told(ctx)
		case <-ready:
			if next := w.arrived(); next != nil {
				return next, nil
			}
		case <-s.suspect:
			err = s.health(ctx, w.gen)
		case <-ticker.C:
			if err = s.health(ctx, w.gen); err == nil {
				err = w.memory(ctx)
			}
		}
		if err != nil {
			w.gen.proc.kill() // asking it to end would be asking in vain
			return nil, err
		}
	}
}

func (w *watch) begin(ctx context.Context, c *change, forMemory bool) {
	w.forMemory = forMemory
	w.try = w.s.startReplacement(ctx, w.gen, c)
}

// arrived is the new process, or nil when it did not come up: then the present one goes on, untouched.
func (w *watch) arrived() *generation {
	s, try := w.s, w.try
	w.try = nil
	err := try.err
	if err == nil && try.gen.dead() { // just now
		err = s.ended(try.gen)
		s.end(try.gen)
	}
	if err == nil {
		return try.gen
	}
	pid := w.gen.proc.pid()
	s.log.Error("plugin was not replaced; its process goes on", "pid", pid, "error", err, "hint", fault.HintOf(err))
	w.notAgain = time.Now().Add(s.opts.Timing.BackoffMax)
	try.change.tell("", notChanged(s.name, err))
	s.restarts.take().tell(notRestarted(fmt.Sprintf("cannot restart plugin %q, its process %d goes on", s.name, pid), err))
	return nil
}

// memory looks at how much the process uses.
func (w *watch) memory(ctx context.Context) error {
	s := w.s
	rss, err := s.excess(w.gen)
	switch {
	case err != nil:
		return err
	case rss == 0:
		w.fat = 0
		return nil
	}
	w.fat++
	if w.fat < 2 || w.try != nil || w.telling != nil || time.Now().Before(w.notAgain) {
		return nil
	}
	s.log.Warn("plugin uses too much memory; another process takes its place", "pid", w.gen.proc.pid(), "rss", rss, "memory_max", w.gen.spec.MemoryMax)
	w.begin(ctx, nil, true)
	return nil
}

// excess is how much memory a process uses when that is more than MemoryMax, and else 0; an error when it is more than twice as much.
func (s *supervisor) excess(gen *generation) (uint64, error) {
	rss, most := rssOf(gen.proc.pid()), gen.spec.MemoryMax
	switch {
	case most == 0 || rss <= most:
		return 0, nil
	case rss/2 > most:
		return rss, s.refuse(gen, fault.Exhausted,
			fmt.Sprintf("it used %d MiB of memory, more than twice memory_max (%d MiB)", rss>>20, most>>20),
			"tell its author, or raise plugins."+s.name+".memory_max")
	default:
		return rss, nil
	}
}

// rssOf is the resident memory of a process in bytes; 0 when there is none or it cannot be told.
func rssOf(pid int) uint64 {
	if pid == 0 {
		return 0
	}
	info, err := (&gops.Process{Pid: int32(pid)}).MemoryInfo() //nolint:gosec // a pid
	if err != nil {
		return 0
	}
	return info.RSS
}

func (s *supervisor) ended(gen *generation) error {
	return s.refuse(gen, fault.PluginGone, fmt.Sprintf("it ended (%s)%s", gen.proc.cmd.ProcessState, tail(lastWords(gen))), "")
}

// health fails when a process does not answer twice. Of its end, and of that of ctx, the caller hears otherwise.
func (s *supervisor) health(ctx context.Context, gen *generation) error {
	client := healthpb.NewHealthClient(gen.conn)
	for range 2 {
		if s.healthy(ctx, client) {
			return nil
		}
	}
	timer := time.NewTimer(drainBound)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-gen.proc.done: // it died just now
		return nil
	case <-timer.C:
		return s.refuse(gen, fault.PluginGone, "it stopped answering", "")
	}
}

func (s *supervisor) healthy(ctx context.Context, client healthpb.HealthClient) bool {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timing.HealthTimeout)
	defer cancel()
	r, err := client.Check(ctx, &healthpb.HealthCheckRequest{Service: goplugin.GRPCServiceName})
	return err == nil && r.GetStatus() == healthpb.HealthCheckResponse_SERVING
}
