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

// watch watches one process while it is the current one. Used by the goroutine of run.
type watch struct {
	s     *supervisor
	gen   *generation
	began time.Time

	overMax   int          // checks in a row at which it used more than MemoryMax
	notBefore time.Time    // before then it is not replaced because of its memory
	try       *replacement // of a process that is to replace it; nil: none is under way
	diskAt    time.Time    // when its data directory is looked at next
	forMemory bool         // why there is, or was, a replacement
	telling   *telling     // of another configuration to this process; nil: none is under way
}

// wait returns the process that is ready to replace this one. It fails when this one ended, stopped answering, uses far
// too much memory, or is no longer wanted, which is the end of ctx; a replacement may then still be under way.
func (w *watch) wait(ctx context.Context) (next *generation, err error) {
	s := w.s
	w.notBefore = w.began.Add(s.delay())
	ticker := time.NewTicker(s.opts.Timing.HealthEvery)
	defer ticker.Stop()
	for {
		wanted, changes, ready, told := s.restarts.wanted, s.changes, (<-chan struct{})(nil), (<-chan struct{})(nil)
		if w.try != nil { // a request for another process is served by that; another change has to wait
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
			if err == nil {
				err = w.disk()
			}
		}
		if err != nil {
			w.gen.proc.kill() // a process that does not answer would not end by itself
			return nil, err
		}
	}
}

func (w *watch) begin(ctx context.Context, c *change, forMemory bool) {
	w.forMemory = forMemory
	w.try = w.s.startReplacement(ctx, w.gen, c)
}

// arrived returns the new process, or nil when its start failed: then the current one continues.
func (w *watch) arrived() *generation {
	s, try := w.s, w.try
	w.try = nil
	err := try.err
	if err == nil && try.gen.dead() { // it ended a moment ago
		err = s.ended(try.gen)
		s.end(try.gen)
	}
	if err == nil {
		return try.gen
	}
	pid := w.gen.proc.pid()
	s.log.Error("plugin was not replaced; its process goes on", "pid", pid, "error", err, "hint", fault.HintOf(err))
	w.notBefore = time.Now().Add(s.opts.Timing.BackoffMax)
	try.change.tell("", notChanged(s.name, err))
	s.restarts.take().tell(notRestarted(fmt.Sprintf("cannot restart plugin %q, its process %d goes on", s.name, pid),
		err))
	return nil
}

// memory checks how much memory the process uses.
func (w *watch) memory(ctx context.Context) error {
	s := w.s
	rss, err := s.excess(w.gen)
	switch {
	case err != nil:
		return err
	case rss == 0:
		w.overMax = 0
		return nil
	}
	w.overMax++
	if w.overMax < 2 || w.try != nil || w.telling != nil || time.Now().Before(w.notBefore) {
		return nil
	}
	s.log.Warn("plugin uses too much memory; a new process replaces it", "pid", w.gen.proc.pid(), "rss", rss,
		"memory_max", w.gen.spec.MemoryMax)
	w.begin(ctx, nil, true)
	return nil
}

// disk checks what the plugin has stored.
func (w *watch) disk() error {
	if time.Now().Before(w.diskAt) {
		return nil
	}
	w.diskAt = time.Now().Add(diskEvery)
	return w.s.fullDisk(w.gen.spec)
}

// maxTasks is how many threads a sandboxed plugin may have in all of its processes.
const maxTasks = 512

// usage is what all processes of a plugin use.
type usage struct {
	rss   uint64 // resident memory in bytes
	tasks int    // threads; 0: not counted
}

// excess returns how much memory a plugin uses, with its children, if that is more than MemoryMax, otherwise 0; an
// error if it is more than twice as much, or if it has too many threads.
func (s *supervisor) excess(gen *generation) (uint64, error) {
	all, most := usageOf(gen.proc.pid(), gen.proc.mark), gen.spec.MemoryMax
	rss := all.rss
	switch {
	case all.tasks > maxTasks:
		return 0, s.refuse(gen, fault.Exhausted, fmt.Sprintf("it had %d threads in all of its processes, more than %d",
			all.tasks, maxTasks), "tell its author")
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

// rssOf returns the resident memory of a process in bytes; 0 when there is none or the figure is not available.
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
	return s.refuse(gen, fault.PluginGone, fmt.Sprintf("it ended (%s)%s", gen.proc.cmd.ProcessState,
		tail(lastWords(gen))), "")
}

// health fails when a process does not answer twice. The end of the process and the end of ctx are no failure here: the
// caller sees them itself.
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
	case <-gen.proc.done: // it ended a moment ago
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
