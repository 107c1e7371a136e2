package gatewaytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// The modes of gateway.auth.mode.
const (
	modeToken        = "token"
	modePassword     = "password"
	modeTrustedProxy = "trusted-proxy"
	modeNone         = "none"
)

// mode is how clients authenticate.
func (s *Server) mode() string {
	if s.NoAuth {
		return modeNone
	}
	return orDefault(s.Auth, modeToken)
}

// known reports whether a client has brought the secret that the mode asks for. Either field may carry it; a password
// is never compared with the token.
func (s *Server) known(p connectRequest) (ok bool, brought string) {
	brought = p.Auth.Token
	switch s.mode() {
	case modeNone:
		return true, brought
	case modePassword:
		if p.Auth.Password != "" {
			brought = p.Auth.Password
		}
		return brought != "" && brought == s.Password, brought
	case modeTrustedProxy: // of a client on this machine, without the headers of a proxy
		return p.Auth.Password != "" && p.Auth.Password == s.Password, p.Auth.Password
	}
	if brought == "" && !s.release.noPasswordAuth {
		brought = p.Auth.Password
	}
	return brought == s.AuthToken() && !s.script.has("refuse-token"), brought
}

// refusedAs returns the message and the details about a secret that is missing or wrong.
func (s *Server) refusedAs(p connectRequest, brought string) (string, map[string]any) {
	what, kind := "token", "TOKEN"
	switch s.mode() {
	case modePassword:
		what, kind = "password", "PASSWORD"
	case modeTrustedProxy:
		if brought != "" {
			what, kind = "password", "PASSWORD"
			break
		}
		return "unauthorized", map[string]any{
			"code": "AUTH_UNAUTHORIZED", "authReason": "trusted_proxy_untrusted_source", "canRetryWithDeviceToken": false,
			"recommendedNextStep": "review_auth_configuration",
		}
	}
	if brought == "" {
		return "unauthorized: gateway " + what + " missing (provide gateway auth " + what + ")", map[string]any{
			"code": "AUTH_" + kind + "_MISSING", "authReason": what + "_missing", "canRetryWithDeviceToken": false,
			"recommendedNextStep": "update_auth_configuration",
		}
	}
	details := map[string]any{
		"code": "AUTH_" + kind + "_MISMATCH", "authReason": what + "_mismatch",
		"canRetryWithDeviceToken": p.Device != nil && what == "token", "recommendedNextStep": "update_auth_credentials",
	}
	if p.Device != nil && what == "token" {
		details["recommendedNextStep"] = "retry_with_device_token"
	}
	return "unauthorized: gateway " + what + " mismatch (provide gateway auth " + what + ")", details
}

// authentication is the mode and the password of a program's gateway. With a code other than 0 it does not start with
// them (measured on 2026.9.6).
func (r *run) authentication(config snapshot) (mode, password string, code int) {
	password = firstOf(textOf(config.at("gateway.auth.password")), r.env["OPENCLAW_GATEWAY_PASSWORD"])
	mode = firstOf(r.flags.auth, textOf(config.at("gateway.auth.mode")))
	if mode == "" {
		mode = modeToken
		if password != "" {
			mode = modePassword
		}
	}
	proxy := config.at("gateway.auth.trustedProxy")
	const failed, deep = "Gateway failed to start: gateway auth mode is trusted-proxy, but ",
		". Run openclaw gateway status --deep for diagnostics."
	switch {
	case mode == modePassword && password == "":
		r.fail("Gateway auth is set to password, but no password is configured.",
			"Set gateway.auth.password (or OPENCLAW_GATEWAY_PASSWORD), or pass --password.")
		return mode, password, exConfig
	case mode == modeTrustedProxy && proxy == nil:
		r.fail(failed + "no trustedProxy config was provided (set gateway.auth.trustedProxy)" + deep)
		return mode, password, 1
	case mode == modeTrustedProxy && r.token(config) != "":
		r.fail(failed + "a shared token is also configured; remove gateway.auth.token / OPENCLAW_GATEWAY_TOKEN because " +
			"trusted-proxy and token auth are mutually exclusive" + deep)
		return mode, password, 1
	}
	return mode, password, 0
}

// tls returns what a program's gateway serves TLS with; nil when it does not. It makes a certificate when there is
// none.
func (r *run) tls(config snapshot) (*tls.Config, error) {
	if config.at("gateway.tls.enabled") != true {
		return nil, nil
	}
	dir := filepath.Join(r.stateDir(), "gateway", "tls")
	cert := firstOf(textOf(config.at("gateway.tls.certPath")), filepath.Join(dir, "gateway-cert.pem"))
	key := firstOf(textOf(config.at("gateway.tls.keyPath")), filepath.Join(dir, "gateway-key.pem"))
	if _, err := os.Stat(cert); errors.Is(err, fs.ErrNotExist) {
		if err := makeCertificate(cert, key); err != nil {
			return nil, err
		}
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("gateway tls: failed to load cert/key (%w)", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

func makeCertificate(certPath, keyPath string) error {
	pair, err := SelfSigned("openclaw-gateway")
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		path, kind string
		data       []byte
	}{{certPath, "CERTIFICATE", pair.Certificate[0]}, {keyPath, "PRIVATE KEY", der}} {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
			return err
		}
		text := pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.data})
		if err := os.WriteFile(f.path, text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// SelfSigned makes a certificate that signs itself, for the names, as OpenClaw does for its gateway.
func SelfSigned(names ...string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
