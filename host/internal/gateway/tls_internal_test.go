package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/probe"
	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/shared/gatewaytest"
)

// certificate makes a certificate and writes it to a file.
func certificate(t *testing.T, path string, names ...string) *x509.Certificate {
	t.Helper()
	pair, err := gatewaytest.SelfSigned(names...)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if path != "" {
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert
}

// The certificate of a gateway is checked by the keys of config.toml, else against the file of the gateway.
func TestCertificateOfAGatewayIsChecked(t *testing.T) {
	dir := t.TempDir()
	local := certificate(t, filepath.Join(dir, "local.pem"), "localhost")
	named := certificate(t, filepath.Join(dir, "named.pem"), "gw.example.org")
	if err := os.WriteFile(filepath.Join(dir, "empty.pem"), []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	pin := strings.ToUpper(strings.TrimPrefix(fingerprintOf(local), "sha256:"))
	colons := pin[:2]
	for i := 2; i < len(pin); i += 2 {
		colons += ":" + pin[i:i+2]
	}
	for _, row := range []struct {
		name    string
		file    string // the gateway's tls
		set     config.TLS
		shown   *x509.Certificate
		plain   bool
		refused string // a part of the message; "": trusted
	}{
		{name: "no TLS", plain: true},
		{name: "switched off", file: `{enabled: false, certPath: '/x'}`, plain: true},
		{name: "fingerprint", set: config.TLS{Fingerprint: pin}, shown: local},
		{name: "with colons", set: config.TLS{Fingerprint: "SHA256:" + colons}, shown: local},
		{name: "another", set: config.TLS{Fingerprint: pin}, shown: named, refused: "gateways.main.tls.fingerprint"},
		{
			name: "both, and one does not fit", set: config.TLS{Fingerprint: pin, CA: filepath.Join(dir, "named.pem")},
			shown: local, refused: "does not prove",
		},
		{name: "authority", set: config.TLS{CA: filepath.Join(dir, "local.pem")}, shown: local},
		{
			name: "another authority", set: config.TLS{CA: filepath.Join(dir, "local.pem")},
			shown: named, refused: "does not prove",
		},
		{
			name: "another name", set: config.TLS{CA: filepath.Join(dir, "named.pem")},
			shown: named, refused: "tls.server_name",
		},
		{name: "its name", set: config.TLS{CA: filepath.Join(dir, "named.pem"), ServerName: "gw.example.org"}, shown: named},
		{name: "no authority", set: config.TLS{CA: filepath.Join(dir, "none.pem")}, shown: local, refused: "none.pem"},
		{
			name: "nothing in it", set: config.TLS{CA: filepath.Join(dir, "empty.pem")},
			shown: local, refused: "no certificate in",
		},
		{name: "the file's", file: `{enabled: true, certPath: '` + dir + `/local.pem'}`, shown: local},
		{
			name: "not the file's", file: `{enabled: true, certPath: '` + dir + `/local.pem'}`,
			shown: named, refused: "local.pem",
		},
		{name: "made by itself", file: `{enabled: true}`},
		{name: "not made", file: `{enabled: true, certPath: '` + dir + `/none.pem'}`, shown: local, refused: "is not found"},
		{
			name: "keys beat the file", file: `{enabled: true, certPath: '` + dir + `/named.pem'}`,
			set: config.TLS{Fingerprint: pin}, shown: local,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := "{}"
			if row.file != "" {
				text = `{gateway: {tls: ` + row.file + `}}`
			}
			g := newFileGateway(t, text, "fill", true)
			g.cfg.TLS = row.set
			if row.shown == nil && !row.plain {
				row.shown = certificate(t, filepath.Join(filepath.Dir(g.file), "gateway", "tls", "gateway-cert.pem"), "x")
			}
			got := g.tlsOf(g.cfg)
			if (got == nil) != row.plain {
				t.Fatalf("TLS: %v", got != nil)
			}
			if row.plain {
				return
			}
			err := got.VerifyConnection(tls.ConnectionState{PeerCertificates: []*x509.Certificate{row.shown}})
			ce, _ := errors.AsType[*session.ConnectError](err)
			switch {
			case (err != nil) != (row.refused != ""):
				t.Errorf("error %v", err)
			case err == nil:
			case ce == nil || !ce.Final || ce.Code != codeUntrusted || !errors.Is(err, probe.ErrUntrusted) ||
				!strings.Contains(ce.Message, row.refused) ||
				!strings.Contains(ce.Hint, `gateways.main.tls.fingerprint = "`+fingerprintOf(row.shown)+`"`):
				t.Errorf("%+v", ce)
			}
			if err := got.VerifyConnection(tls.ConnectionState{}); err == nil {
				t.Error("no certificate is trusted")
			}
		})
	}
}
