package gatewaytest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"

	"github.com/gatehost/gatehost/internal/frame"
)

// signatureAge is how far a signature's time may be from ours, either way (docs/openclaw.md §6).
const signatureAge = 120 * time.Second

// deviceProof is connect's device.
type deviceProof struct {
	ID, PublicKey, Signature, Nonce string
	SignedAt                        int64
}

func deviceCodes() map[string]string {
	return map[string]string{
		"device-id-mismatch":     "DEVICE_AUTH_DEVICE_ID_MISMATCH",
		"device-signature-stale": "DEVICE_AUTH_SIGNATURE_EXPIRED",
		"device-nonce-missing":   "DEVICE_AUTH_NONCE_REQUIRED", "device-nonce-mismatch": "DEVICE_AUTH_NONCE_MISMATCH",
		"device-signature": "DEVICE_AUTH_SIGNATURE_INVALID", "device-public-key": "DEVICE_AUTH_PUBLIC_KEY_INVALID",
	}
}

// verify checks the proof in the gateway's order and returns its reason and message; "" is good.
func (d *deviceProof) verify(p connectRequest, nonce string, now time.Time) (reason, message string) {
	key, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(d.PublicKey, "="))
	sum := sha256.Sum256(key)
	if err != nil || len(key) != ed25519.PublicKeySize || hex.EncodeToString(sum[:]) != d.ID {
		return "device-id-mismatch", "device identity mismatch"
	}
	if age := now.Sub(time.UnixMilli(d.SignedAt)); age > signatureAge || age < -signatureAge {
		return "device-signature-stale", "device signature expired"
	}
	switch got := strings.TrimSpace(d.Nonce); {
	case got == "":
		return "device-nonce-missing", "device nonce required"
	case got != nonce:
		return "device-nonce-mismatch", "device nonce mismatch"
	}
	signed := frame.DeviceAuth{
		DeviceID: d.ID, ClientID: p.Client.ID, ClientMode: p.Client.Mode, Role: orDefault(p.Role, "operator"),
		Scopes: p.Scopes, SignedAtMs: d.SignedAt,
		Token: firstOf(p.Auth.Token, p.Auth.DeviceToken, p.Auth.BootstrapToken), Nonce: nonce,
		Platform: p.Client.Platform, DeviceFamily: p.Client.DeviceFamily,
	}
	signature, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(d.Signature, "="))
	if err != nil || !ed25519.Verify(key, []byte(signed.V3()), signature) &&
		!ed25519.Verify(key, []byte(signed.V2()), signature) {
		return "device-signature", "device signature invalid"
	}
	return "", ""
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
