package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Trust says whose programs may be the other end of a connection, beside the processes of a launch.
type Trust string

// The values of Trust.
const (
	TrustOwn  Trust = "own"  // the user of this process
	TrustRoot Trust = "root" // also the superuser
	TrustAny  Trust = "any"  // every user: nothing is checked
)

// Errors of Rule.Prove, beside *Stranger and the errors of the system.
var (
	// ErrUnknown means that this machine cannot tell whose program the other end is. Trying again does not help.
	ErrUnknown = errors.New("cannot find out whose program is at the other end of the connection")
	// ErrNotAccepted means that the other end had not accepted the connection when the deadline passed.
	ErrNotAccepted = errors.New("the program on the port did not accept the connection in time")
	// ErrClosed means that the other end has closed the connection.
	ErrClosed = errors.New("the program on the port closed the connection")
)

// Owner is a program at the other end of a connection, as far as it is known.
type Owner struct {
	UID     int    // -1: not known
	User    string // "" when the user has no name
	PID     int    // 0: this user may not see it
	Command string // program and arguments without secrets, bounded; "" when not known
	Own     bool   // it runs as the user of this process
}

// String names the owner for an error.
func (o Owner) String() string {
	who := "a process" // this user may not see which
	if o.PID != 0 {
		who = "pid " + strconv.Itoa(o.PID)
	}
	if o.Command != "" {
		who += " (" + o.Command + ")"
	}
	switch {
	case o.User != "" && o.UID >= 0:
		return fmt.Sprintf("%s of user %s (uid %d)", who, o.User, o.UID)
	case o.User != "":
		return who + " of user " + o.User
	case o.UID >= 0:
		return fmt.Sprintf("%s of uid %d", who, o.UID)
	default:
		return who + " of an unknown user"
	}
}

// Stranger is the error for an other end that is known and not trusted.
type Stranger struct {
	Owner  Owner
	Launch int // the process of the launch that should be there; 0: none
}

// Error names the stranger.
func (s *Stranger) Error() string { return "the program on the port is " + s.Name() }

// Name is the owner, and the launch that it does not belong to.
func (s *Stranger) Name() string {
	if s.Launch == 0 {
		return s.Owner.String()
	}
	return fmt.Sprintf("%s, which does not belong to the launch with pid %d", s.Owner, s.Launch)
}

// Rule says who may be at the other end of a connection.
type Rule struct {
	Trust Trust // "": TrustOwn
	// Launch is the pid of a process that this host launched: the other end must belong to its process tree, so that
	// another program of the same user is a stranger too. 0: the gateway was not launched by this host; the user decides.
	Launch int
}

// ProvesLaunch reports whether Prove accepts the processes of one launch only.
func (r Rule) ProvesLaunch() bool { return r.Launch != 0 && r.Trust != TrustAny }

// Prove returns nil when the other end of conn fits the rule. It waits until the other end has accepted the connection,
// since the kernel does not say before that which process will have it. ctx bounds the wait. Errors: *Stranger,
// ErrUnknown, ErrNotAccepted, ErrClosed, the cause of ctx when it was cancelled, or the system's.
func (r Rule) Prove(ctx context.Context, conn net.Conn) error {
	if r.Trust == TrustAny {
		return nil
	}
	return r.prove(ctx, conn, newSystem())
}

// tuple is a connection as this end sees it.
type tuple struct{ local, remote netip.AddrPort }

func tupleOf(conn net.Conn) (tuple, error) {
	local, ok := conn.LocalAddr().(*net.TCPAddr)
	remote, ok2 := conn.RemoteAddr().(*net.TCPAddr)
	if !ok || !ok2 {
		return tuple{}, fmt.Errorf("%w: it is no TCP connection", ErrUnknown)
	}
	plain := func(a *net.TCPAddr) netip.AddrPort {
		p := a.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
	}
	return tuple{plain(local), plain(remote)}, nil
}

// end is a socket and what is known about its owner.
type end struct {
	uid       int    // -1: not known
	inode     uint64 // on Linux; elsewhere the pid of its process
	own, root bool
}

// sight is what one look showed of the other end.
type sight struct {
	stage stage
	end   end  // at accepted
	heir  *end // at waiting: the listener that will accept the connection; nil when it was not seen
}

// stage is how far the other end of a connection is.
type stage int

const (
	absent   stage = iota + 1 // no socket of this machine is the other end
	waiting                   // it is connected, and no process has accepted it
	accepted                  // a process has it
	closed                    // the other end was closed
)

// system is what a platform knows.
type system interface {
	// look looks once for the other end of c. Errors: ErrUnknown, or the system's.
	look(ctx context.Context, c tuple) (sight, error)
	// holds reports whether a process of the tree of pid launch has e. Errors: ErrUnknown.
	holds(ctx context.Context, launch int, e end) (bool, error)
	// owner names the program that has e, as far as this user may see it.
	owner(ctx context.Context, e end) Owner
}

const (
	// firstPause comes before the first look: a program that waits for connections accepts one within that time, mostly,
	// and then one look is enough.
	firstPause = time.Millisecond
	maxPause   = 50 * time.Millisecond
	// absentBound is how long the other end may be missing: a table that changes while it is read may lack a row.
	absentBound = 500 * time.Millisecond
	// nameBound is how long the search for a stranger's name may take.
	nameBound = 2 * time.Second
)

func (r Rule) prove(ctx context.Context, conn net.Conn, sys system) error {
	c, err := tupleOf(conn)
	if err != nil {
		return err
	}
	var heir *end
	began := time.Now()
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return r.late(ctx, sys, heir)
		}
		s, err := sys.look(ctx, c)
		switch {
		case err != nil && ctx.Err() != nil:
			return r.late(ctx, sys, heir)
		case err != nil:
			return err
		case s.stage == accepted:
			return r.judge(ctx, sys, s.end)
		case s.stage == closed:
			return ErrClosed
		case s.stage == absent && time.Since(began) > absentBound:
			return fmt.Errorf("%w: no socket of this machine is connected to %v", ErrUnknown, c.local)
		case s.stage == waiting:
			heir, began = s.heir, time.Now()
		}
	}
}

// late says why the proof was not finished. A listener that does not accept is named when it is a stranger's: nothing
// is believed because of it, so that it does not matter that another process may accept in its place.
func (r Rule) late(ctx context.Context, sys system, heir *end) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	if heir != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), nameBound) // the deadline has passed
		defer cancel()
		if stranger, ok := errors.AsType[*Stranger](r.judge(ctx, sys, *heir)); ok {
			return stranger
		}
	}
	return fmt.Errorf("%w: %w", ErrNotAccepted, context.DeadlineExceeded)
}

func (r Rule) judge(ctx context.Context, sys system, e end) error {
	if r.Trust == TrustRoot && e.root || r.Launch == 0 && e.own {
		return nil
	}
	if r.Launch != 0 {
		if held, err := sys.holds(ctx, r.Launch, e); err != nil || held {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), nameBound)
	defer cancel()
	return &Stranger{Owner: sys.owner(ctx, e), Launch: r.Launch}
}

// text returns foreign text as one printable line of at most limit bytes and a mark for what was cut.
func text(s string, limit int) string {
	s = strings.Map(func(c rune) rune {
		if !strconv.IsPrint(c) {
			return '\uFFFD'
		}
		return c
	}, s)
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return s
}

// Search returns the command by which an operator of this platform sees who listens on a port.
func Search(port int) string {
	switch runtime.GOOS {
	case "linux":
		return fmt.Sprintf("sudo ss -tlnp 'sport = :%d'", port)
	case "windows":
		return fmt.Sprintf("netstat -ano | findstr :%d", port)
	default:
		return fmt.Sprintf("sudo lsof -nP -iTCP:%d -sTCP:LISTEN", port)
	}
}
