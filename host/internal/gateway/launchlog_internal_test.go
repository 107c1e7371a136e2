package gateway

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/profile"
)

func TestLaunchIsLoggedWithoutItsSecrets(t *testing.T) { // B073, B082, B089
	const token, password = "canary-token-0123456789", "canary-password"
	cfg := config.Launch{
		Profile: "openclaw", Command: []string{"/opt/openclaw"},
		Args:        []string{"gateway", "--port", "{port}", "--note=" + token, "--password", "short"},
		PathPrepend: []string{"/opt/node"}, SkipChannels: true,
	}
	r, err := profile.Build(profile.Launch{
		Launch: config.Launch{
			Profile: cfg.Profile, Command: cfg.Command, Args: cfg.Args, Cwd: "/srv", PathPrepend: cfg.PathPrepend,
			Proxy: "user:" + password + "@proxy:3128", HTTPSProxy: "other:1", SkipChannels: true,
		},
		Port: 4711, Token: token,
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	g := bare(&config.Gateway{Name: "main"})
	g.env.Secrets.Learn(secretsOf(r))
	g.log = hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Info})
	if g.newestLaunch() != "n/a" {
		t.Errorf("before any launch: %s", g.newestLaunch())
	}
	g.announce(&config.Gateway{Name: "main", Port: 4711, Launch: cfg}, r)
	for _, text := range []string{out.String(), g.newestLaunch()} {
		for _, secret := range []string{token, password, "user:", "short"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in %s", secret, text)
			}
		}
		for _, want := range []string{
			"profile=openclaw", "port=4711", "program=/opt/openclaw", "--port 4711", "cwd=/srv", "path_prepend=true",
			"channels=skipped", "http://redacted@proxy:3128 http://other:1", "secrets=",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in %s", want, text)
			}
		}
	}
}

func TestProxyOfALaunchIsSaidInOneWord(t *testing.T) {
	r, err := profile.Build(profile.Launch{Launch: config.Launch{Command: []string{"x"}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := proxyWord(r); got != "none" {
		t.Errorf("without a proxy: %s", got)
	}
}
