package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/internal/redact"
)

// announce logs a launch before it is made (B089), and keeps the text for the log of a start that fails (B032). The
// text has no secret.
func (c *core) announce(cfg *config.Gateway, r profile.Result) {
	facts := launchFacts(cfg, r, c.env.Secrets.Redactor())
	c.log.Info("launching the gateway", facts...)
	for _, remark := range r.Remarks {
		c.log.Warn("something that was set for the gateway is not used", "what", remark.String())
	}
	var words []string
	for i := 0; i+1 < len(facts); i += 2 {
		words = append(words, fmt.Sprintf("%v=%v", facts[i], facts[i+1]))
	}
	summary := strings.Join(words, " ")
	c.lastLaunch.Store(&summary)
}

// launchFacts returns the pairs of a log line.
func launchFacts(cfg *config.Gateway, r profile.Result, redactor *redact.Redactor) []any {
	l := cfg.Launch
	secrets := 0
	for _, v := range r.Process.Env {
		if v.Secret {
			secrets++
		}
	}
	channels := "enabled"
	if l.SkipChannels {
		channels = "skipped"
	}
	facts := []any{"profile", l.Profile, "port", cfg.Port}
	if argv := r.Process.Argv; len(argv) > 0 {
		facts = append(facts, "program", redactor.Text(argv[0]), "args", redactor.Text(strings.Join(argv[1:], " ")))
	}
	return append(facts, "cwd", r.Process.Cwd, "path_prepend", len(l.PathPrepend) > 0, "secrets", secrets,
		"channels", channels, "proxy", proxyWord(r))
}

// proxyWord returns the proxies that the gateway gets, without credentials.
func proxyWord(r profile.Result) string {
	names := []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"}
	var out []string
	for _, v := range r.Process.Env {
		if v.Value == "" || !slices.Contains(names, v.Name) {
			continue
		}
		if url := profile.RedactURL(v.Value); !slices.Contains(out, url) {
			out = append(out, url)
		}
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, " ")
}

// newestLaunch returns the text of the newest launch.
func (c *core) newestLaunch() string {
	if s := c.lastLaunch.Load(); s != nil {
		return *s
	}
	return "n/a"
}
