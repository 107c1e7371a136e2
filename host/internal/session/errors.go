package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gatehost/gatehost/internal/frame"
)

// ErrNotConnected rejects a call on a session that is over, at once (B137, B152).
var ErrNotConnected = errors.New("Gateway not connected") //nolint:staticcheck,revive // the reference's exact text

// ErrServiceRestart rejects the calls that were under way when a gateway announced its restart (B205). It is an
// ErrNotConnected.
var ErrServiceRestart error = serviceRestart{}

type serviceRestart struct{}

func (serviceRestart) Error() string { return "Gateway service restart" } // the reference's exact text

//nolint:errorlint // this is what errors.Is asks
func (serviceRestart) Is(target error) bool { return target == ErrNotConnected }

// ErrBusy rejects a call while too many are unanswered, or while the gateway does not read (B161).
var ErrBusy = errors.New("too many calls are waiting for the gateway")

// ConnectError says why a session could not be opened.
type ConnectError struct {
	Stage      string // dial, peer, upgrade, challenge, connect
	Code       string // the gateway's details.code or reason, or one of ours in lower case
	Message    string
	Hint       string
	Retryable  bool // the gateway is still starting, or no process listened: retry, it counts as no failure
	RetryAfter time.Duration
	Final      bool // a retry with the same credentials is pointless
	CloseCode  int  // of the gateway's close frame when that was its answer; else 0
	Cause      error
}

// Error is the message.
func (e *ConnectError) Error() string { return e.Message }

// Unwrap gives the cause.
func (e *ConnectError) Unwrap() error { return e.Cause }

// refusal turns the gateway's error to connect into an error that says what to do.
func refusal(e *frame.Error) *ConnectError {
	out := &ConnectError{
		Stage: "connect", Code: e.Reason, Message: "the gateway refused the session: " + e.Error(),
		Retryable: e.Retryable, RetryAfter: e.RetryAfter, Cause: e,
	}
	if out.Code == "" {
		out.Code = e.Code
	}
	var d struct {
		RequestID        string `json:"requestId"`
		ExpectedProtocol int    `json:"expectedProtocol"`
	}
	_ = json.Unmarshal(e.Details, &d) // details have any form: what does not fit is absent
	if e.Message == "protocol mismatch" {
		out.Code = "PROTOCOL_MISMATCH"
	}
	switch out.Code {
	case "AUTH_PASSWORD_MISMATCH", "AUTH_PASSWORD_MISSING":
		out.Final = true
		out.Hint = "the gateway has another password than its own file or environment gives: restart it with " +
			"`gatehost restart NAME`, or see with `gatehost status NAME` which file it is"
	case "AUTH_TOKEN_MISMATCH", "AUTH_TOKEN_MISSING", "AUTH_REQUIRED", "AUTH_UNAUTHORIZED":
		out.Final = true
		out.Hint = "the gateway has another token: compare gateways.NAME.token in config.toml with " +
			"gateway.auth.token of the gateway"
	case "DEVICE_IDENTITY_REQUIRED":
		out.Final = true
		out.Hint = "the gateway requires a token and got none: set gateways.NAME.token"
	case "PAIRING_REQUIRED":
		out.Final = true
		out.Hint = "approve this host on the gateway's machine: openclaw devices approve " + word(d.RequestID)
	case "PROTOCOL_MISMATCH":
		out.Final = true
		out.Message = fmt.Sprintf("the gateway speaks protocol %d, this host speaks %d to %d", d.ExpectedProtocol,
			MinProtocol, MaxProtocol)
		out.Hint = "upgrade gatehost"
		if d.ExpectedProtocol > 0 && d.ExpectedProtocol < MinProtocol {
			out.Hint = "upgrade the gateway"
		}
	case "DEVICE_AUTH_SIGNATURE_EXPIRED":
		out.Final = true
		out.Hint = "the clocks of host and gateway differ by more than two minutes: correct them"
	case "DEVICE_AUTH_SIGNATURE_INVALID", "DEVICE_AUTH_NONCE_MISMATCH", "DEVICE_AUTH_DEVICE_ID_MISMATCH",
		"DEVICE_AUTH_PUBLIC_KEY_INVALID":
		out.Final = true
		out.Hint = "the device identity does not fit: remove device.json in the state directory to make a new one"
	default:
		if !out.Retryable {
			out.Hint = "read the gateway's output with `gatehost logs NAME`; it may be a version that this host " +
				"does not know"
			out.Final = e.Code == "INVALID_REQUEST" || e.Code == "NOT_PAIRED" || e.Code == "FORBIDDEN" ||
				e.Code == "UNAUTHORIZED"
		}
	}
	return out
}

// word returns an identity that a hint tells people to type. The gateway chooses it: what a shell would read as more
// than one plain word becomes a placeholder.
func word(id string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.'
	}
	if id == "" || len(id) > 128 || strings.HasPrefix(id, "-") ||
		strings.ContainsFunc(id, func(r rune) bool { return !plain(r) }) {
		return "REQUEST_ID"
	}
	return id
}
