package tomltext_test

import (
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/tomltext"
)

// TestErrorsQuoteNoSecret: an error is shown, logged and sent to who asks for the check of a file.
func TestErrorsQuoteNoSecret(t *testing.T) {
	const word, key = "canary5ec0ffee", "sk-ant-api03-AbCdEfGhIjKlMnOpQrStUvWx"
	for name, text := range map[string]string{
		"without quotes":       "[gateways.main.token]\nvalue = " + word,
		"without quotes, root": "token = " + word,
		"first table":          "\n[a]\nx = 1\n[b.api_key]\nv = " + word,
		"as a number":          "password = 12345678901234567890123",
		"as a time":            "secret = 1979-" + word,
		"inline":               "a = {token = " + word + "}",
		"a key of its shape":   "\"" + key + "\" = 1\n\"" + key + "\" = 2",
		"a word of its shape":  "x = " + key,
	} {
		_, err := tomltext.Decode("x.toml", []byte(text))
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if got := err.Error(); strings.Contains(got, "canary") || strings.Contains(got, "AbCdEf") ||
			strings.Contains(got, "1234567") || strings.Contains(got, "1979") || !strings.HasPrefix(got, "x.toml:") {
			t.Errorf("%s: %s", name, got)
		}
	}
	_, err := tomltext.Decode("x.toml", []byte("[gateways.main]\nport = canary"))
	if err == nil || !strings.Contains(err.Error(), `"canary"`) {
		t.Errorf("what is no secret is quoted: %v", err)
	}
	_, err = tomltext.Decode("x.toml", []byte("token = \"a\"\ntoken = \"b\""))
	if err == nil || !strings.Contains(err.Error(), "already been defined") {
		t.Errorf("a key that is there twice: %v", err)
	}
	f := tomltext.Fault{File: "x\x1b[31m.toml", Key: "a\u202eb", Message: "c\nd", Hint: key}
	if got := f.String(); strings.ContainsAny(got, "\x1b\n\u202e") || strings.Contains(got, "AbCdEf") {
		t.Errorf("%q", got)
	}
}
