package gateway

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/gatewayconfig"
	"github.com/gatehost/gatehost/host/internal/probe"
	"github.com/gatehost/gatehost/host/internal/session"
)

// codeUntrusted is the problem that a gateway's certificate is not the one that is expected.
const codeUntrusted = "tls_untrusted"

// maxCertificates bounds a file with certificates.
const maxCertificates = 4 << 20

// tlsOf returns how to check the certificate of a gateway; nil when it serves without TLS.
func (c *core) tlsOf(cfg *config.Gateway) *tls.Config {
	token, _ := c.tokenOf(cfg) // it says nothing about TLS
	r, err := c.buildWith(cfg, token)
	if err != nil {
		return c.tlsBy(gatewayconfig.Access{})
	}
	a, _ := c.accessOf(cfg, r, token) // of a file that cannot be understood the keys decide
	return c.tlsBy(a)
}

// tlsBy returns it for what is known about the gateway. The keys of config.toml decide; without them the certificate
// must be the one in the file that the gateway's own configuration names. Files are read at each handshake, since the
// gateway may make its certificate while it starts, and renew it.
func (c *core) tlsBy(a gatewayconfig.Access) *tls.Config {
	set := c.conf().TLS
	if !a.TLS && set == (config.TLS{}) {
		return nil
	}
	check := func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("it has no certificate")
		}
		if set == (config.TLS{}) {
			return isTheFiles(s.PeerCertificates[0], a.Cert)
		}
		if set.Fingerprint != "" {
			pinned := isPinned(s.PeerCertificates[0], set.Pin(), fmt.Sprintf("gateways.%s.tls.fingerprint", c.name))
			if pinned != nil || set.CA == "" {
				return pinned
			}
		}
		return isSigned(s.PeerCertificates, set.CA, set.ServerName)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection checks every connection: by pin, or with names of its own
		VerifyConnection: func(s tls.ConnectionState) error {
			if err := check(s); err != nil {
				return c.untrusted(s, err)
			}
			return nil
		},
	}
}

// untrusted says what is wrong with a certificate, and what to do.
func (c *core) untrusted(s tls.ConnectionState, why error) error {
	key := fmt.Sprintf("gateways.%s.tls", c.name)
	e := &session.ConnectError{
		Stage: "tls", Code: codeUntrusted, Final: true, Cause: errors.Join(probe.ErrUntrusted, why),
		Message: fmt.Sprintf("the TLS certificate of the program on the gateway's port is not trusted: %v; gatehost sent no "+
			"secret", why),
		Hint: fmt.Sprintf("set %s.fingerprint, or %s.ca, in config.toml", key, key),
	}
	if len(s.PeerCertificates) > 0 {
		e.Hint = fmt.Sprintf("if this is your gateway, set %s.fingerprint = \"%s\" in config.toml and run `gatehost config "+
			"reload`; or set %s.ca to the file with its authority", key, fingerprintOf(s.PeerCertificates[0]), key)
	}
	return e
}

// fingerprintOf returns the fingerprint of a certificate as people write it.
func fingerprintOf(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func isPinned(cert *x509.Certificate, pin, what string) error {
	if got := fingerprintOf(cert); got != pin {
		return fmt.Errorf("its fingerprint is not that of %s", what)
	}
	return nil
}

// isSigned checks a chain against the authorities in a file, and the name: that of the operator, else this machine's.
func isSigned(chain []*x509.Certificate, file, name string) error {
	data, err := readCertificates(file)
	if err != nil {
		return err
	}
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool()}
	if !o.Roots.AppendCertsFromPEM(data) {
		return fmt.Errorf("there is no certificate in %s", file)
	}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(o); err != nil {
		return fmt.Errorf("%s does not prove it: %w", file, err)
	}
	if name != "" {
		return chain[0].VerifyHostname(name)
	}
	if err := chain[0].VerifyHostname(probe.Host); err != nil && chain[0].VerifyHostname("localhost") != nil {
		return fmt.Errorf("%w; tls.server_name says for which name it is", err)
	}
	return nil
}

// isTheFiles checks that a certificate is the first one in a file of the gateway.
func isTheFiles(cert *x509.Certificate, file string) error {
	data, err := readCertificates(file)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the gateway's own certificate is not found at %s", file)
	}
	if err != nil {
		return err
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		own, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("cannot read the certificate in %s: %w", file, err)
		}
		return isPinned(cert, fingerprintOf(own), file)
	}
	return fmt.Errorf("there is no certificate in %s", file)
}

func readCertificates(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxCertificates { // opening a pipe would hang
		return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", path, maxCertificates)
	}
	f, err := os.Open(path) //nolint:gosec // a certificate that the operator or the gateway's configuration names
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxCertificates))
}
