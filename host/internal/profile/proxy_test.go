package profile_test

import (
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/profile"
)

// TestOneProxyForAllOrOwnVariablesForEach is T187 and T188: launch.proxy sets each variable in both cases and leaves
// the exceptions to the operator; who wants another proxy for one scheme says it by launch.env instead.
func TestOneProxyForAllOrOwnVariablesForEach(t *testing.T) {
	mine := map[string]string{"HTTPS_PROXY": "http://other:2", "NO_PROXY": "localhost,10.0.0.0/8"}
	_, env := build(t,
		profile.Launch{
			Launch:    config.Launch{Proxy: "h:1", Env: mine},
			Inherited: []string{"HTTP_PROXY=http://theirs", "all_proxy=x"},
		})
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		if env[name] != "http://h:1" || env[strings.ToLower(name)] != "http://h:1" {
			t.Errorf("%s = %q and %q", name, env[name], env[strings.ToLower(name)])
		}
	}
	if env["NO_PROXY"] != "localhost,10.0.0.0/8" {
		t.Errorf("NO_PROXY = %q", env["NO_PROXY"])
	}
	_, env = build(t,
		profile.Launch{Launch: config.Launch{Proxy: " ", Env: mine}, Inherited: []string{"HTTP_PROXY=http://theirs"}})
	if env["HTTPS_PROXY"] != "http://other:2" || env["HTTP_PROXY"] != "http://theirs" || env["ALL_PROXY"] != "" {
		t.Errorf("without launch.proxy: %v", env)
	}
}
