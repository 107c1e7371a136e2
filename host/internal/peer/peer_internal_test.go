package peer

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// script is a system that gives sights, one for each look; the last one stays.
type script struct {
	sights []sight
	err    error
	looks  int
	tree   map[uint64]bool // the inodes of the launch
	hidden bool
}

func (s *script) look(context.Context, tuple) (sight, error) {
	s.looks++
	if s.err != nil {
		return sight{}, s.err
	}
	return s.sights[min(s.looks, len(s.sights))-1], nil
}

func (s *script) holds(_ context.Context, _ int, e end) (bool, error) {
	if s.hidden {
		return false, ErrUnknown
	}
	return s.tree[e.inode], nil
}

func (s *script) owner(_ context.Context, e end) Owner { return Owner{UID: e.uid, Own: e.own} }

// addressed is a connection that has addresses and nothing else.
type addressed struct{ net.Conn }

func (addressed) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 40000} }

func (addressed) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 18789} }

func TestRuleDecidesWhoIsTrusted(t *testing.T) {
	const launch, inside = 55, 7
	ours, root, other := end{uid: 1000, inode: 1, own: true}, end{uid: 0, inode: 2, root: true}, end{uid: 1001, inode: 3}
	ofLaunch, hostIsRoot := end{uid: 1000, inode: inside, own: true}, end{uid: 0, inode: 4, own: true, root: true}
	for _, row := range []struct {
		name     string
		rule     Rule
		end      end
		stranger bool
	}{
		{"our own user, to attach", Rule{}, ours, false},
		{"our own user, by its word", Rule{Trust: TrustOwn}, ours, false},
		{"root, to attach", Rule{}, root, true},
		{"root, trusted", Rule{Trust: TrustRoot}, root, false},
		{"another user, root trusted", Rule{Trust: TrustRoot}, other, true},
		{"our own user, root trusted", Rule{Trust: TrustRoot}, ours, false},
		{"another user, to attach", Rule{}, other, true},
		{"another user, all trusted", Rule{Trust: TrustAny}, other, false},
		{"a process of the launch", Rule{Launch: launch}, ofLaunch, false},
		{"our own user beside a launch", Rule{Launch: launch}, ours, true},
		{"another user beside a launch", Rule{Launch: launch}, other, true},
		{"root beside a launch", Rule{Launch: launch}, root, true},
		{"root beside a launch, trusted", Rule{Trust: TrustRoot, Launch: launch}, root, false},
		{"our own user beside a launch, root trusted", Rule{Trust: TrustRoot, Launch: launch}, ours, true},
		{"our own user beside a launch, all trusted", Rule{Trust: TrustAny, Launch: launch}, ours, false},
		{"a host of root, to attach to root", Rule{}, hostIsRoot, false},
		{"a host of root, root beside a launch", Rule{Launch: launch}, hostIsRoot, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			sys := &script{sights: []sight{{stage: accepted, end: row.end}}, tree: map[uint64]bool{inside: true}}
			err := row.rule.judge(t.Context(), sys, row.end)
			if row.rule.Trust == TrustAny {
				err = row.rule.Prove(t.Context(), addressed{}) // it looks at nothing
			}
			s, is := errors.AsType[*Stranger](err)
			if is != row.stranger || !is && err != nil {
				t.Fatalf("error = %v, want a stranger: %v", err, row.stranger)
			}
			if is && (s.Launch != row.rule.Launch || s.Owner.UID != row.end.uid || s.Owner.Own != row.end.own) {
				t.Errorf("stranger = %+v", s)
			}
		})
	}
}

func TestConnectionIsAskedAboutUntilItIsAccepted(t *testing.T) {
	ours := end{uid: 1000, inode: 1, own: true}
	synctest.Test(t, func(t *testing.T) {
		sys := &script{sights: []sight{{stage: absent}, {stage: waiting}, {stage: waiting}, {stage: accepted, end: ours}}}
		began := time.Now()
		if err := (Rule{}).prove(t.Context(), addressed{}, sys); err != nil || sys.looks != 4 {
			t.Errorf("%v after %d looks, want a proof by the fourth", err, sys.looks)
		}
		if took := time.Since(began); took > 20*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
	synctest.Test(t, func(t *testing.T) { // a busy gateway that accepts late is not asked about all the time
		sights := make([]sight, 1, 101)
		sights[0] = sight{stage: accepted, end: ours}
		for range 100 {
			sights = append([]sight{{stage: waiting}}, sights...)
		}
		sys := &script{sights: sights}
		began := time.Now()
		if err := (Rule{}).prove(t.Context(), addressed{}, sys); err != nil || sys.looks != 101 {
			t.Errorf("%v after %d looks", err, sys.looks)
		}
		if took := time.Since(began); took < 4*time.Second {
			t.Errorf("100 looks in %v", took)
		}
	})
}

func TestProofThatCannotBeFinishedSaysWhy(t *testing.T) {
	listener := func(e end) sight { return sight{stage: waiting, heir: &e} }
	broken := errors.New("too many open files")
	for _, row := range []struct {
		name     string
		rule     Rule
		sys      script
		want     error
		stranger bool
		in       time.Duration // at most
	}{
		{"no such socket", Rule{}, script{sights: []sight{{stage: absent}}}, ErrUnknown, false, time.Second},
		{"closed", Rule{}, script{sights: []sight{{stage: closed}}}, ErrClosed, false, 10 * time.Millisecond},
		{
			"closed while it waited",
			Rule{},
			script{sights: []sight{{stage: waiting}, {stage: closed}}},
			ErrClosed, false,
			time.Second,
		},
		{"the table cannot be read", Rule{}, script{err: broken}, broken, false, 10 * time.Millisecond},
		{
			"our own program does not accept",
			Rule{},
			script{sights: []sight{listener(end{inode: 1, own: true})}},
			ErrNotAccepted, false, 5 * time.Second,
		},
		{
			"a program that is not seen does not accept",
			Rule{},
			script{sights: []sight{{stage: waiting}}},
			ErrNotAccepted, false, 5 * time.Second,
		},
		{
			"a stranger does not accept",
			Rule{},
			script{sights: []sight{listener(end{uid: 9, inode: 1})}},
			nil, true,
			5 * time.Second,
		},
		{
			"the descriptors of the launch may not be read",
			Rule{Launch: 5},
			script{sights: []sight{{stage: accepted}}, hidden: true},
			ErrUnknown, false, 10 * time.Millisecond,
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			began := time.Now()
			err := row.rule.prove(ctx, addressed{}, &row.sys)
			_, stranger := errors.AsType[*Stranger](err)
			if stranger != row.stranger || row.want != nil && !errors.Is(err, row.want) || err == nil {
				t.Errorf("%s: %v", row.name, err)
			}
			if took := time.Since(began); took > row.in {
				t.Errorf("%s: took %v", row.name, took)
			}
		})
	}
}

func TestCancelledProofReturnsItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("stopped")
		time.AfterFunc(time.Second, func() { cancel(cause) })
		e := end{uid: 9, inode: 1}
		sys := &script{sights: []sight{{stage: waiting, heir: &e}}}
		if err := (Rule{}).prove(ctx, addressed{}, sys); !errors.Is(err, cause) {
			t.Errorf("error = %v, want the cause", err)
		}
	})
}

func TestOtherConnectionsAreUnknown(t *testing.T) {
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	if err := (Rule{}).Prove(t.Context(), a); !errors.Is(err, ErrUnknown) {
		t.Errorf("error = %v", err)
	}
}

func TestOwnersAreNamedAndPrintable(t *testing.T) {
	for want, o := range map[string]Owner{
		"pid 5 (nc -l) of user eve (uid 7)": {UID: 7, User: "eve", PID: 5, Command: "nc -l"},
		"pid 5 of uid 7":                    {UID: 7, PID: 5},
		"a process of user eve (uid 7)":     {UID: 7, User: "eve"},
		`pid 5 of user NT AUTHORITY\SYSTEM`: {UID: -1, User: `NT AUTHORITY\SYSTEM`, PID: 5},
		"a process of an unknown user":      {UID: -1},
	} {
		if got := o.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	eve := Stranger{Owner: Owner{UID: 7, PID: 5}}
	if got := eve.Error(); got != "the program on the port is pid 5 of uid 7" {
		t.Errorf("without a launch: %q", got)
	}
	eve.Launch = 3
	if got := eve.Name(); got != "pid 5 of uid 7, which does not belong to the launch with pid 3" {
		t.Errorf("beside a launch: %q", got)
	}
	got := text("a\x1b]0;x\a\nb\u202e"+strings.Repeat("ä", 300), maxCommand)
	if strings.ContainsAny(got, "\x1b\a\n\u202e") || len(got) > maxCommand+3 ||
		!strings.HasPrefix(got, "a\uFFFD]0;x\uFFFD\uFFFDb") {
		t.Errorf("got %q", got)
	}
}
