package pluginhost

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/plugin"
)

// markName is the variable by which the processes that a probed plugin starts are known.
const markName = "GATEHOST_PROBE"

// drainWatched is for how long it is watched whether somebody holds the pipes of a process that has ended.
const drainWatched = 15 * time.Second

// Probe starts processes of one plugin as a Host does, for somebody who looks at what each of them does: nothing is restarted, and calls
// go to the process and not to the one that serves. Safe for concurrent use.
type Probe struct {
	s *supervisor
}

// NewProbe prepares to start a plugin; the directories of o are those of the plugin alone.
func NewProbe(o Options, spec Spec) (*Probe, error) {
	o.drain = drainWatched
	h := New(o)
	if err := h.Add(spec); err != nil {
		return nil, err
	}
	return &Probe{s: h.plugins[spec.Name]}, nil
}

// Describe starts the plugin, asks it who it is and ends it. Errors: as of Start.
func (p *Probe) Describe(ctx context.Context) (plugin.Info, error) {
	s := p.with(nil)
	gen, err := s.prepare(ctx, s.spec())
	if err != nil {
		return plugin.Info{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, gen.spec.StartTimeout)
	defer cancel()
	if err := s.shake(ctx, gen); err != nil {
		return plugin.Info{}, err
	}
	defer s.end(gen)
	return s.describe(ctx, gen)
}

// Start starts a process, which has described itself and taken its table when it returns. write names directories that the sandbox lets it
// write to besides its own. Errors: what a Host would log. Close what it returns.
func (p *Probe) Start(ctx context.Context, write ...string) (*Probed, error) {
	s := p.with(write)
	gen, err := s.start(ctx, s.spec())
	if err != nil {
		return nil, err
	}
	return &Probed{s: s, gen: gen}, nil
}

// with is the plugin with a mark of its own and more that it may write to.
func (p *Probe) with(write []string) *supervisor {
	spec := *p.s.spec()
	env := map[string]string{markName: rand.Text()}
	maps.Copy(env, spec.Env)
	spec.Env = env
	if spec.Sandbox != nil && len(write) > 0 {
		more := *spec.Sandbox
		more.Write = append(slices.Clone(more.Write), write...)
		spec.Sandbox = &more
	}
	return newSupervisor(p.s.opts, spec, p.s.socketDir)
}

// Probed is one process of a Probe.
type Probed struct {
	s   *supervisor
	gen *generation
}

// Conn is the connection to it.
func (p *Probed) Conn() grpc.ClientConnInterface { return p.gen.conn }

// Info is what it said of itself.
func (p *Probed) Info() plugin.Info { return p.gen.info }

// Asked is what it was configured with.
func (p *Probed) Asked() plugin.ConfigureRequest { return p.s.configuration(p.gen, p.gen.spec) }

// PID is its process.
func (p *Probed) PID() int { return p.gen.proc.pid() }

// Done is closed when the process has ended.
func (p *Probed) Done() <-chan struct{} { return p.gen.proc.done }

// Drained is closed when the other ends of its stdout and stderr are closed: nobody that it started holds them.
func (p *Probed) Drained() <-chan struct{} { return p.gen.proc.drained }

// Printed is what came on stdout besides the handshake.
func (p *Probed) Printed() []string { return p.gen.logs.printedLines() }

// LastLines are its last raw lines of log.
func (p *Probed) LastLines() []string { return p.gen.logs.last() }

// Mark is the NAME=value by which what it starts is known.
func (p *Probed) Mark() string { return markName + "=" + p.gen.spec.Env[markName] }

// SocketDir is where its socket is.
func (p *Probed) SocketDir() string { return p.gen.dir }

// LetGo closes its stdin.
func (p *Probed) LetGo() { p.gen.proc.letGo() }

// Kill ends its group by SIGKILL.
func (p *Probed) Kill() { p.gen.proc.kill() }

// Close ends it as a Host does, and waits for its end, within bounds.
func (p *Probed) Close() { p.s.end(p.gen) }

// DataDir is the directory of a probed plugin's own.
func (p *Probe) DataDir() string { return p.s.dataDir() }
