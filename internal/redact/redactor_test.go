package redact_test

import (
	"strings"
	"testing"

	"github.com/gatehost/gatehost/internal/redact"
)

func TestCredentialsAreHiddenByTheirNames(t *testing.T) { // B073, B307; the first six are rows of stderr-corpus.jsonl
	r := redact.New(nil)
	for text, want := range map[string]string{
		"[gateway] listening; token=clawx-0123456789abcdef0123456789abcdef": "[gateway] listening; " +
			"token=[redacted]",
		"argv: gateway --port 18789 --token clawx-0123456789abcdef --allow-unconfigured": "argv: gateway --port " +
			"18789 --token [redacted] --allow-unconfigured",
		"Authorization: Bearer sk-example-000000000000": "Authorization: Bearer " +
			"[redacted]",
		"OPENCLAW_GATEWAY_TOKEN=clawx-0123456789abcdef0123456789abcdef": "OPENCLAW_GATEWAY_TOKEN=" +
			"[redacted]",
		"http://127.0.0.1:18789/#token=clawx-0123456789abcdef0123456789abcdef": "http://127.0.0.1:18789/" +
			"#token=[redacted]",
		"https://user:hunter2@proxy.example.com:8080": "https://[redacted]@prox" +
			"y.example.com:8080",
		"https://ghp_abcdef@example.com/x": "https://[redacted]@exam" +
			"ple.com/x",
		"--token=abc --token 'def' --gateway-password \"x y\"": "--token=[redacted] " +
			"--token [redacted] --gateway-password [redacted]",
		`{"apiKey":"sk-12345678","botToken": "12345678:AA"}`: `{"apiKey":"[redacted]",` +
			`"botToken": "[redacted]:AA"}`,
		"GET /x?token=abc&b=1": "GET " +
			"/x?token=[redacted]&b=1",
		"authorization: Basic dXNlcjpwYXNz": "authorization: Basic " +
			"[redacted]",
		"reason=token_mismatch auth=token device=no": "reason=token_mismatch " +
			"auth=token device=no",
		"unauthorized: gateway token mismatch (provide gateway auth token)": "unauthorized: gateway " +
			"token mismatch (provide gateway auth token)",
		"2026-11-23T14:41:15.219+00:00 [gateway] listening on ws://127.0.0.1:18901 (PID 1)": "2026-11-23T14:41:15." +
			"219+00:00 [gateway] listening on ws://127.0.0.1:18901 (PID 1)",
		`Unrecognized key: "bogusKey"`: `Unrecognized key: ` +
			`"bogusKey"`,
	} {
		if got := r.Text(text); got != want {
			t.Errorf("%s\nbecomes %s\nwant    %s", text, got, want)
		}
		if got := r.Text(r.Text(text)); got != r.Text(text) {
			t.Errorf("%s is not stable: %s", text, got)
		}
	}
}

func TestKnownSecretsAreHiddenInWhateverForm(t *testing.T) {
	r := redact.New([]string{"pa ss/\"word<1>", "short"})
	for _, text := range []string{
		`x pa ss/"word<1> y`, "?x=pa+ss%2F%22word%3C1%3E", "/pa%20ss%2F%22word%3C1%3E/",
		`{"x":"pa ss/\"word\u003c1\u003e"}`,
	} {
		if got := r.Text(text); strings.Contains(got, "word") || !strings.Contains(got, redact.Mark) {
			t.Errorf("%s becomes %s", text, got)
		}
	}
	if got := r.Text("a short word"); got != "a short word" {
		t.Errorf("%q", got)
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("--token canary-value-1", "canary-value-1")
	f.Fuzz(func(t *testing.T, text, secret string) {
		got := redact.New([]string{secret}).Text(text + secret)
		if len(secret) >= 8 && !strings.Contains(redact.Mark, secret) && strings.Contains(got, secret) &&
			!strings.Contains(secret, "[redacted]") {
			t.Errorf("%q is in %q", secret, got)
		}
	})
}

// A name is one in any case, and every name has a mark by which its line is found.
func TestNamesOfSecretsInAnyCase(t *testing.T) {
	for _, name := range []string{
		"gateway_token", "passwd", "password", "secret", "passphrase", "credential", "cookie", "signature", "nonce",
		"apikey", "private_key", "access-key", "signing_key", "encrypt_key", "encryption-key",
	} {
		mixed := []byte(name)
		for i := 0; i < len(mixed); i += 2 {
			mixed[i] = strings.ToUpper(name)[i]
		}
		for _, n := range []string{name, strings.ToUpper(name), string(mixed)} {
			var none *redact.Redactor
			for _, line := range []string{n + "=Zk9vQ2hlbGxv", n + ": Zk9vQ2hlbGxv", "x\n" + n + "=\n\nZk9vQ2hlbGxv\nend"} {
				if got := redact.Document(line); strings.Contains(got, "Zk9v") {
					t.Errorf("Document(%q) = %q", line, got)
				}
				if got := none.Text(line); !strings.Contains(line, "\n") && strings.Contains(got, "Zk9v") {
					t.Errorf("Text(%q) = %q", line, got)
				}
			}
		}
	}
}

func BenchmarkDocument(b *testing.B) {
	text := "{\n" + strings.Repeat(`  "channel": {"name": "general", "limits": [1, 2, 3]},`+"\n", 10_000) +
		`  "gateway": {"auth": {"token": "a-secret-value"}}` + "\n}\n"
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		_ = redact.Document(text)
	}
}
