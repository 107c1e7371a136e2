package session_test

import (
	"testing"

	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/shared/gatewaytest"
)

// A session authenticates in each mode with what the mode asks for, with and without a device.
func TestEachModeOfAuthenticationOpensASession(t *testing.T) {
	for _, row := range []struct {
		mode, token, password string
		refused               string // the code; "": it opens
	}{
		{"token", "the-token", "", ""},
		{"password", "", "the-password", ""},
		{"password", "", "another", "AUTH_PASSWORD_MISMATCH"},
		{"password", "the-token", "", "AUTH_PASSWORD_MISMATCH"},
		{"trusted-proxy", "", "the-password", ""},
		{"trusted-proxy", "", "another", "AUTH_PASSWORD_MISMATCH"},
		{"none", "", "", ""},
		{"none", "the-token", "", ""},
	} {
		g := gateway(t, &gatewaytest.Server{Auth: row.mode, Token: "the-token", Password: "the-password"})
		for _, d := range []*session.Device{nil, device(t)} {
			o := session.Options{URL: g.URL(), Token: row.token, Password: row.password, Device: d}
			if row.refused == "" {
				if s := dial(t, o); s.Hello().Protocol == 0 {
					t.Errorf("%+v: %+v", row, s.Hello())
				}
				continue
			}
			if got := refused(t, o); got.Code != row.refused || !got.Final || got.Hint == "" {
				t.Errorf("%+v: %+v", row, got)
			}
		}
	}
}
