package httpapi

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// TestOnlyTheOwnerAndRootMayAsk: the kernel says who is there, whatever the socket's mode is.
func TestOnlyTheOwnerAndRootMayAsk(t *testing.T) {
	s := New(Options{Log: hclog.NewNullLogger(), IsPlugin: func(pid, pgid int) bool { return pid == 66 || pgid == 66 }})
	for _, row := range []struct {
		name    string
		peer    any
		refused bool
	}{
		{"the owner", peer{uid: 1000, pid: 7, pgid: 7}, false},
		{"root", peer{uid: 0, pid: 7, pgid: 7}, false},
		{"another user", peer{uid: 1001, pid: 7, pgid: 7}, true},
		{"a plugin", peer{uid: 1000, pid: 66, pgid: 66}, true},
		{"a child of a plugin", peer{uid: 1000, pid: 7, pgid: 66}, true},
		{"a plugin that is root", peer{uid: 0, pid: 66}, true},
		{"a peer that the kernel does not name", peer{err: errors.New("no")}, true},
		{"no peer", nil, true},
	} {
		r := httptest.NewRequest("GET", "/v1/status", nil)
		r = r.WithContext(context.WithValue(r.Context(), peerKey{}, row.peer))
		if p := s.refuse(r, 1000); (p != nil) != row.refused || p != nil && p.Status != 403 {
			t.Errorf("%s: %+v", row.name, p)
		}
	}
}
