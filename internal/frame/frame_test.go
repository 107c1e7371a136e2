package frame_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/internal/frame"
	"github.com/gatehost/gatehost/internal/redact"
)

type captured struct {
	Dir   string          `json:"dir"`
	Frame json.RawMessage `json:"frame"`
}

func load(t *testing.T, name string) []captured {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var out []captured
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func incoming(t *testing.T, name string) []frame.Frame {
	t.Helper()
	var out []frame.Frame
	for _, c := range load(t, name) {
		if c.Dir != "in" {
			continue
		}
		f, err := frame.Parse(c.Frame)
		if err != nil {
			t.Fatalf("%s: %v", c.Frame, err)
		}
		out = append(out, f)
	}
	return out
}

func TestCapturedFramesAreUnderstood(t *testing.T) {
	ok := incoming(t, "connect-token-backend-ok")
	if ok[0].Kind != frame.Event || ok[0].Name != "connect.challenge" || ok[1].Kind != frame.Response || !ok[1].OK ||
		ok[1].ID != "r1" {
		t.Errorf("handshake = %+v", ok[:2])
	}
	starting := incoming(t, "connect-startup-unavailable")[1].Error
	if starting.Reason != "startup-sidecars" || !starting.Retryable || starting.RetryAfter != 500*time.Millisecond {
		t.Errorf("starting = %+v", starting)
	}
	wrong := incoming(t, "err-wrong-token")[1].Error
	if wrong.Reason != "AUTH_TOKEN_MISMATCH" || wrong.Code != "INVALID_REQUEST" || wrong.Retryable {
		t.Errorf("wrong token = %+v", wrong)
	}
	events := incoming(t, "on-SIGTERM")
	if last := events[len(events)-1]; last.Name != "shutdown" || last.Seq == 0 {
		t.Errorf("last event = %+v", last)
	}
	for _, name := range []string{"post-auth-malformed", "rpc-missing-scope"} {
		incoming(t, name)
	}
}

func TestFramesOfOddShapes(t *testing.T) {
	for _, row := range []struct {
		name, in string
		check    func(frame.Frame) bool
	}{
		{
			"an answer without ok is good", `{"type":"res","id":"1"}`,
			func(f frame.Frame) bool { return f.OK && f.Payload == nil },
		},
		{
			"null is null", `{"type":"res","id":"1","ok":true,"payload":null}`,
			func(f frame.Frame) bool { return f.OK && f.Payload == nil },
		},
		{
			"an error beside ok true is an error", `{"type":"res","id":"1","ok":true,"error":{"message":"no"}}`,
			func(f frame.Frame) bool { return !f.OK && f.Error.Message == "no" },
		},
		{
			"an error that is a text", `{"type":"res","id":"1","ok":false,"error":"no"}`,
			func(f frame.Frame) bool { return f.Error.Message == `"no"` },
		},
		{
			"an error that is absent", `{"type":"res","id":"1","ok":false}`,
			func(f frame.Frame) bool { return f.Error.Message == "Unknown error" },
		},
		{
			"a retry of a day is bounded", `{"type":"res","id":"1","ok":false,"error":{"retryAfterMs":86400000}}`,
			func(f frame.Frame) bool { return f.Error.RetryAfter == frame.MaxRetryAfter },
		},
		{
			"a negative retry is none", `{"type":"res","id":"1","ok":false,"error":{"retryAfterMs":-5}}`,
			func(f frame.Frame) bool { return f.Error.RetryAfter == 0 },
		},
		{
			"json-rpc answer with id 0", `{"jsonrpc":"2.0","id":0,"result":{"a":1}}`,
			func(f frame.Frame) bool { return f.Kind == frame.Response && f.ID == "0" && f.OK },
		},
		{
			"json-rpc notification", `{"jsonrpc":"2.0","method":"error"}`,
			func(f frame.Frame) bool { return f.Kind == frame.Event && f.Name == "error" },
		},
		{"anything else", `{"hello":1}`, func(f frame.Frame) bool { return f.Kind == frame.Other }},
	} {
		t.Run(row.name, func(t *testing.T) {
			f, err := frame.Parse([]byte(row.in))
			if err != nil || !row.check(f) {
				t.Errorf("%s = %+v, %v", row.in, f, err)
			}
		})
	}
	for _, in := range []string{"", "[]", "null", "nonsense", `{"type":`, `{"type":1}`, "\x00\xff"} {
		if _, err := frame.Parse([]byte(in)); !errors.Is(err, frame.ErrNotAFrame) {
			t.Errorf("Parse(%q) = %v", in, err)
		}
	}
}

func TestRedactionHidesSecretsAndKeepsTheRest(t *testing.T) { // T068, T069
	in := `{"type":"req","id":"1","method":"connect","params":{"auth":{"token":"s3cret"},` +
		`"device":{"signature":"s3cret","Authorization":"s3cret"},"keep":"me","n":[{"apiKey":"s3cret"}]}}`
	out := string(frame.Redact([]byte(in), nil))
	if strings.Contains(out, "s3cret") || !strings.Contains(out, "me") || !strings.Contains(out, redact.Mark) {
		t.Error(out)
	}
	out = string(frame.Redact([]byte(`{"method":"config.set","params":{"raw":"{s3cret}","baseHash":"h"}}`), nil))
	if strings.Contains(out, "s3cret") || !strings.Contains(out, `"h"`) {
		t.Error(out)
	}
	for _, method := range []string{"config.set", "config.patch", "config.apply"} {
		out = string(
			frame.Redact([]byte(`{"type":"req","method":"`+method+`","params":{"raw":"{s3cret}","baseHash":"h"}}`),
				nil))
		if want := `{"method":"` + method +
			`","params":{"baseHash":"h","raw":"[redacted]"},"type":"req"}`; out != want {
			t.Errorf("got %s, want %s", out, want)
		}
	}
	out = string(
		frame.Redact(
			[]byte(`{"type":"res","ok":true,"payload":{"raw":"{s3cret}","hash":"h","config":{"token":"s3cret"}}}`),
			nil))
	if strings.Contains(out, "s3cret") || !strings.Contains(out, `"hash":"h"`) {
		t.Error(out)
	}
	for _, key := range []string{
		"token", "authorization", "apikey", "api_key", "signature", "cookie", "set-cookie", "accesstoken",
		"refreshtoken", "Token", "AUTHORIZATION", "apiKey",
		"Set-Cookie", "accessToken", "refreshToken",
	} { // B352
		if out := string(frame.Redact([]byte(`{"a":[{"`+key+`":"s3cret"}]}`),
			nil)); out != `{"a":[{"`+key+`":"[redacted]"}]}` {
			t.Errorf("%s: %s", key, out)
		}
	}
	if out := string(frame.Redact([]byte("s3cret"), nil)); strings.Contains(out, "s3cret") {
		t.Error(out)
	}
}

func TestSecretsOfAnyShapeAreHidden(t *testing.T) {
	in := `{"token":{"value":"s3cret"},"COOKIE":["s3cret"],"apiKey":12345,"password":null,"Authorization":true,` +
		`"secret":""}`
	want := `{"Authorization":true,"COOKIE":"[redacted]","apiKey":"[redacted]","password":null,"secret":"",` +
		`"token":"[redacted]"}`
	if got := string(frame.Redact([]byte(in), nil)); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestSummaryNamesFramesWithoutTheirContent(t *testing.T) { // T070
	for in, want := range map[string]string{
		`{"type":"req","id":"1","method":"sessions.list","params":{"token":"x"}}`: "req id=1 method=sessions.list",
		`{"type":"event","event":"chat","payload":{}}`:                            "event chat",
		`not json`: "unreadable, 8 bytes",
	} {
		if got := frame.Summary([]byte(in)); got != want {
			t.Errorf("Summary(%s) = %q, want %q", in, got, want)
		}
	}
}

func TestDevicePayloadsMatchTheVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/device-auth.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			Name, Version, DeviceID, Payload, SignatureB64url string
			Key                                               struct{ SeedHex string }
			Input                                             struct {
				ClientID, ClientMode, Role, Token, Platform, DeviceFamily, Nonce string
				Scopes                                                           []string
				SignedAt                                                         int64
			}
		}
	}
	if err := json.Unmarshal(data, &file); err != nil || len(file.Vectors) < 6 {
		t.Fatalf("%d vectors, %v", len(file.Vectors), err)
	}
	for _, v := range file.Vectors {
		d := frame.DeviceAuth{
			DeviceID: v.DeviceID, ClientID: v.Input.ClientID, ClientMode: v.Input.ClientMode, Role: v.Input.Role,
			Scopes:     v.Input.Scopes,
			SignedAtMs: v.Input.SignedAt, Token: v.Input.Token, Nonce: v.Input.Nonce, Platform: v.Input.Platform,
			DeviceFamily: v.Input.DeviceFamily,
		}
		got := d.V2()
		if v.Version == "v3" {
			got = d.V3()
		}
		seed, _ := hex.DecodeString(v.Key.SeedHex)
		sig := base64.RawURLEncoding.EncodeToString(ed25519.Sign(ed25519.NewKeyFromSeed(seed), []byte(got)))
		if got != v.Payload || sig != v.SignatureB64url {
			t.Errorf("%s:\n got %s\nwant %s", v.Name, got, v.Payload)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.json")
	for _, name := range files {
		var list []captured
		if data, err := os.ReadFile(name); err == nil && json.Unmarshal(data, &list) == nil {
			for _, c := range list {
				f.Add([]byte(c.Frame))
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := frame.Parse(data)
		if err == nil && got.Kind == 0 {
			t.Errorf("no kind for %q", data)
		}
		if got.Error != nil && (got.Error.RetryAfter < 0 || got.Error.RetryAfter > frame.MaxRetryAfter) {
			t.Errorf("retry after %v", got.Error.RetryAfter)
		}
		if out := frame.Redact(data, nil); !json.Valid(out) {
			t.Errorf("redacted to %q", out)
		}
		_ = frame.Summary(data)
	})
}
