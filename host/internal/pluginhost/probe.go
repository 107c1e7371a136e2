package pluginhost

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// markName is the variable that marks the processes that a probed plugin starts.
const markName = "GATEHOST_PROBE"

// drainWatched is for how long the pipes of a process that has ended are watched.
const drainWatched = 15 * time.Second

// Probe starts processes of one plugin as a Host does, for a caller that examines each of them: nothing is restarted,
// and calls go to that process and not to the current one. Safe for concurrent use.
type Probe struct {
	s *supervisor
}

// NewProbe prepares to start a plugin; the directories of o belong to this plugin alone.
func NewProbe(o Options, spec Spec) (*Probe, error) {
	o.drain, o.spare = drainWatched, true
	h := New(o)
	if err := h.Add(spec); err != nil {
		return nil, err
	}
	return &Probe{s: h.plugins[spec.Name]}, nil
}

// Describe starts the plugin, calls Describe and ends it. Errors: as of Start.
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
	defer func() { //nolint:contextcheck // a kill has its own bound
		s.end(gen)
		gen.proc.endMembers()
	}()
	return s.describe(ctx, gen)
}

// Start starts a process; when it returns, the process has described itself and was configured. write names directories
// that the sandbox lets it write to besides its own. Errors: what a Host would log. Close the process after use.
func (p *Probe) Start(ctx context.Context, write ...string) (*Probed, error) {
	s := p.with(write)
	gen, err := s.start(ctx, s.spec())
	if err != nil {
		return nil, err
	}
	for _, svc := range gen.services {
		if gen.proof != nil && needsMTLS(svc.Kind) { // a Host uses the rest; its author has to know
			s.end(gen)
			return nil, s.refuse(gen, fault.CodeOf(svc.Err), svc.Err.Error(), fault.HintOf(svc.Err))
		}
	}
	return &Probed{s: s, gen: gen}, nil
}

// with returns the plugin with a mark of its own and more directories to write to.
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

// Conn returns the connection to it.
func (p *Probed) Conn() grpc.ClientConnInterface { return p.gen.conn }

// Info returns what it answered to Describe.
func (p *Probed) Info() plugin.Info { return p.gen.info }

// Asked returns what it was configured with.
func (p *Probed) Asked() plugin.ConfigureRequest { return p.s.configuration(p.gen, p.gen.spec) }

// PID returns its process.
func (p *Probed) PID() int { return p.gen.proc.pid() }

// Done is closed when the process has ended.
func (p *Probed) Done() <-chan struct{} { return p.gen.proc.done }

// Drained is closed when no process holds the other ends of its stdout and stderr: its children have closed them, too.
func (p *Probed) Drained() <-chan struct{} { return p.gen.proc.drained }

// Printed returns what came on stdout besides the handshake.
func (p *Probed) Printed() []string { return p.gen.logs.printedLines() }

// LastLines returns its last raw lines of log.
func (p *Probed) LastLines() []string { return p.gen.logs.last() }

// Mark returns the NAME=value that marks its children.
func (p *Probed) Mark() string { return markName + "=" + p.gen.spec.Env[markName] }

// SocketDir returns the directory of its socket.
func (p *Probed) SocketDir() string { return p.gen.dir }

// Socket returns the path of its socket when it speaks without mutual TLS, else "".
func (p *Probed) Socket() string {
	if p.gen.proof == nil {
		return ""
	}
	p.gen.proc.at.mu.Lock()
	defer p.gen.proc.at.mu.Unlock()
	return p.gen.proc.at.path
}

// CloseStdin closes its stdin.
func (p *Probed) CloseStdin() { p.gen.proc.closeStdin() }

// Kill kills its group by SIGKILL.
func (p *Probed) Kill() { p.gen.proc.kill() }

// Close ends it as a Host does, and waits for its end, within bounds. What a sandboxed one left ends as well.
func (p *Probed) Close() {
	p.s.end(p.gen)
	p.gen.proc.endMembers()
}

// DataDir returns the plugin's own directory.
func (p *Probe) DataDir() string { return p.s.dataDir() }
