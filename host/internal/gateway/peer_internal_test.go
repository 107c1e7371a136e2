package gateway

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/peer"
	"github.com/gatehost/gatehost/host/internal/session"
)

func TestPeerIsOfTheLaunchWhenThereIsOne(t *testing.T) {
	for _, row := range []struct {
		name  string
		state lifecycle.State
		want  peer.Rule
	}{
		{"nothing runs", lifecycle.State{}, peer.Rule{Trust: peer.TrustRoot}},
		{"attached", lifecycle.State{Attached: true}, peer.Rule{Trust: peer.TrustRoot}},
		{
			"launched",
			lifecycle.State{Launch: "A", Process: lifecycle.Process{PID: 5}},
			peer.Rule{Trust: peer.TrustRoot, Launch: 5},
		},
		{"launched, and its launcher tells no pid", lifecycle.State{Launch: "A"}, peer.Rule{Trust: peer.TrustRoot}},
		{
			"the pid of a launch that is over",
			lifecycle.State{Process: lifecycle.Process{PID: 5}},
			peer.Rule{Trust: peer.TrustRoot},
		},
	} {
		if got := ruleOf("root", row.state); got != row.want {
			t.Errorf("%s: %+v, want %+v", row.name, got, row.want)
		}
	}
}

func TestRefusedPeerIsAProblemWithAHintToPaste(t *testing.T) {
	stranger := func(uid, launch int, own bool) error {
		return fmt.Errorf("dial: %w", &peer.Stranger{
			Owner: peer.Owner{UID: uid, User: "eve", PID: 9, Command: "nc -l 18789", Own: own}, Launch: launch,
		})
	}
	for _, row := range []struct {
		name, code, message, hint string
		err                       error
		fatal                     bool
	}{
		{
			name: "another user", err: stranger(7, 0, false), code: "port_conflict",
			message: "port 18789 is held by pid 9 (nc -l 18789) of user eve (uid 7);",
			hint:    `gateways.main.trust_peer = "any"`,
		},
		{
			name: "another user beside a launch: tried again", err: stranger(7, 5, false), code: "port_conflict",
			message: "which does not belong to the launch with pid 5", hint: "another gateways.main.port",
		},
		{
			name: "root", err: stranger(0, 0, false), code: "port_conflict",
			message: "(uid 0)", hint: `gateways.main.trust_peer = "root"`,
		},
		{
			name: "our own user beside a launch: an attempt would attach to it", err: stranger(1000, 5, true),
			code: "port_conflict", message: "(uid 1000), which", hint: ":18789", fatal: true,
		},
		{
			name: "it cannot be known", err: fmt.Errorf("%w: no table", peer.ErrUnknown), code: "peer_unknown",
			message: "no table; gatehost sent no token", hint: `gateways.main.trust_peer = "any"`, fatal: true,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, refused := peerProblem(row.err, "main", 18789)
			if !refused || p.Code != row.code || p.Fatal != row.fatal || !strings.Contains(p.Message, row.message) ||
				!strings.Contains(p.Hint, row.hint) {
				t.Errorf("problem = %+v, %v", p, refused)
			}
			ce, ok := errors.AsType[*session.ConnectError](refusedPeer(row.err, "main", 18789))
			if !ok || ce.Code != row.code || ce.Final != row.fatal || ce.Retryable || ce.Message != p.Message ||
				ce.Hint != p.Hint || !errors.Is(ce, row.err) {
				t.Errorf("error of the session = %+v", ce)
			}
		})
	}
	for _, err := range []error{nil, peer.ErrNotAccepted, peer.ErrClosed, errors.New("too many open files")} {
		if p, refused := peerProblem(err, "main", 1); refused || p != (lifecycle.Problem{}) {
			t.Errorf("%v refuses a program: %+v", err, p)
		}
		if got := refusedPeer(err, "main", 1); !errors.Is(got, err) {
			t.Errorf("%v became %v", err, got)
		}
	}
}
