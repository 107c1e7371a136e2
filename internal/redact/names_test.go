package redact_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/internal/redact"
)

func TestNamesOfSecretsAreKnownInAnySpelling(t *testing.T) {
	for _, name := range []string{
		"token", "Token", "botToken", "deviceToken", "GATEWAY_TOKEN", "tokens", "password", "passwd", "userPassword",
		"secret", "clientSecret",
		"client_secret", "passphrase", "api_key", "apiKey", "api-key", "APIKEY", "x-api-key", "private_key",
		"privateKey", "access_key",
		"AWS_ACCESS_KEY_ID", "signing_key", "encryptKey", "encryption_key", "authorization", "Proxy-Authorization",
		"credential", "credentials",
		"cookie", "Set-Cookie", "bearer", "signature", "nonce",
	} {
		if !redact.Name(name) {
			t.Errorf("%s is not known", name)
		}
	}
	for _, name := range []string{"", "key", "publicKey", "mode", "path", "announce", "keyboard", "author", "passed"} {
		if redact.Name(name) {
			t.Errorf("%s is taken for a secret", name)
		}
	}
}

func TestSwitchesAndCountsAreHarmless(t *testing.T) {
	for _, row := range [][2]string{
		{"token", "true"},
		{"secret", "null"},
		{"password", `""`},
		{"maxTokens", "4096"},
		{"max_tokens", "200_000"},
		{"tokenCount", "-1"},
		{"tokenLimit", "1.5"},
		{"token_budget", "7"},
	} {
		if !redact.Harmless(row[0], row[1]) {
			t.Errorf("%s: %s is hidden", row[0], row[1])
		}
	}
	for _, row := range [][2]string{
		{"token", "123456"},
		{"password", "771177"},
		{"botToken", "123456"},
		{"maxTokens", `"4096"`},
		{"maxTokens", "12345678901"},
		{"password", `"password"`},
		{"token", "none"},
	} {
		if redact.Harmless(row[0], row[1]) {
			t.Errorf("%s: %s is shown", row[0], row[1])
		}
	}
}

func TestValuesAreHiddenByNameByShapeAndByValue(t *testing.T) {
	known := redact.New([]string{"known-value", "1234567890"})
	for text, want := range map[string]string{
		`{"a":[{"botToken":"x"},{"maxTokens":1}]}`: `{"a":[{"botToken":"[redacted]"},` +
			`{"maxTokens":1}]}`,
		`{"secret":{"deep":"x"},"cookie":["x"],"nonce":7}`: `{"cookie":"[redacted]",` +
			`"nonce":"[redacted]","secret":"[redacted]"}`,
		`{"token":null,"secret":"","password":false}`: `{"password":false,"secret":"","token":null}`,
		`{"known-value":"a known-value b","n":1234567890}`: `{"[redacted]":"a [redacted] b",` +
			`"n":"[redacted]"}`,
		`{"text":"Authorization: Bearer abcdefgh1","url":"a://u:p@h"}`: `{"text":"Authorization: Bearer [redacted]",` +
			`"url":"a://[redacted]@h"}`,
		`["{\"token\":\"abcdefgh\"}"]`: `["{\"token\":\"[redacted]\"}"]`,
		`"known-value"`:                `"[redacted]"`,
	} {
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		var v any
		if err := dec.Decode(&v); err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(known.Value(v))
		if err != nil || string(got) != want {
			t.Errorf("%s\nbecomes %s, %v\nwant    %s", text, got, err, want)
		}
	}
	var none *redact.Redactor
	if got := none.Value(map[string]any{"token": "x", "a": "b"}); !reflect.DeepEqual(got,
		map[string]any{"token": redact.Mark, "a": "b"}) {
		t.Errorf("without known values: %v", got)
	}
}

func TestAddressesAreShownWithoutTheirLogin(t *testing.T) {
	for in, want := range map[string]string{
		"http://u:p@h:1": "http://redacted@h:1", "u:p@h:1": "http://redacted@h:1",
		"http://u:p@ss@h": "http://redacted@h", "http://h:1/x": "http://h:1/x",
		"h:1": "h:1", "": "",
	} {
		if got := redact.URL(in); got != want {
			t.Errorf("URL(%q) = %q, want %q", in, got, want)
		}
	}
}

// A name that counts tokens may have a list or an object: its numbers are shown, nothing else is.
func TestCountsOfTokensStayInListsAndObjects(t *testing.T) {
	var v any
	text := `{"tokens":{"input":5,"cached":[1,2],"operator":"canary-1"},"maxTokens":4096,"tokens2":{"a":"canary-2"},` +
		`"deviceTokens":["canary-3",123456789012345],"token":{"input":"canary-4"}}`
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(redact.New(nil).Value(v))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"input":5`, `"cached":[1,2]`, `"maxTokens":4096`} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
	if strings.Contains(string(got), "canary") {
		t.Errorf("a secret is shown: %s", got)
	}
}
