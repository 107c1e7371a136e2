package frame

import (
	"strconv"
	"strings"
)

// DeviceAuth is what a device signs (vectors/device-auth.json, B149).
type DeviceAuth struct {
	DeviceID, ClientID, ClientMode, Role string
	Scopes                               []string
	SignedAtMs                           int64
	Token, Nonce                         string
	Platform, DeviceFamily               string // v3 only
}

// V2 returns the payload that releases up to 2026.9 accept.
func (d DeviceAuth) V2() string { return strings.Join(d.fields("v2"), "|") }

// V3 returns V2 with platform and family; every release measured accepts it.
func (d DeviceAuth) V3() string {
	return strings.Join(append(d.fields("v3"), normal(d.Platform), normal(d.DeviceFamily)), "|")
}

func (d DeviceAuth) fields(version string) []string {
	return []string{
		version, d.DeviceID, d.ClientID, d.ClientMode, d.Role, strings.Join(d.Scopes, ","),
		strconv.FormatInt(d.SignedAtMs, 10),
		d.Token, d.Nonce,
	}
}

// normal trims and lower-cases ASCII letters only, as the gateway does.
func normal(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, strings.TrimSpace(s))
}
