package gatewayplace_test

import (
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/gatewayplace"
)

// TestPlaceIsThatOfOpenClaw: the wanted paths are what `openclaw config file` of 2026.9.6 printed for the same
// environment and arguments, with the home directory /h and the working directory /w.
func TestPlaceIsThatOfOpenClaw(t *testing.T) {
	type row struct {
		name   string
		env    string // NAME=value, separated by spaces
		args   string
		files  string // that exist
		dotenv string // NAME=value in /h/.openclaw/.env
		config string
		state  string // "": that of config
		by     string
	}
	for _, r := range []row{
		{name: "nothing", config: "/h/.openclaw/openclaw.json", by: "default"},
		{name: "a profile", args: "--profile work gateway", config: "/h/.openclaw-work/openclaw.json", by: "--profile work"},
		{name: "joined", args: "--profile=work gateway", config: "/h/.openclaw-work/openclaw.json", by: "--profile work"},
		{name: "behind", args: "gateway --profile work", config: "/h/.openclaw-work/openclaw.json", by: "--profile work"},
		{name: "its case", args: "--profile Work", config: "/h/.openclaw-Work/openclaw.json", by: "--profile Work"},
		{name: "default", args: "--profile default", config: "/h/.openclaw/openclaw.json", by: "--profile default"},
		{name: "no name", args: "--profile a/b", config: "/h/.openclaw/openclaw.json", by: "default"},
		{name: "after --", args: "gateway -- --profile work", config: "/h/.openclaw/openclaw.json", by: "default"},
		{name: "dev", args: "--dev gateway", config: "/h/.openclaw-dev/openclaw.json", by: "--dev"},
		{name: "dev of the command", args: "gateway --dev", config: "/h/.openclaw/openclaw.json", by: "default"},
		{
			name: "node before it", args: "/x/openclaw.mjs --dev gateway", config: "/h/.openclaw-dev/openclaw.json",
			by: "--dev",
		},
		{name: "both", args: "--dev --profile work gateway", config: "/h/.openclaw/openclaw.json", by: "default"},
		{name: "value", args: "--log-level gateway --dev gateway", config: "/h/.openclaw-dev/openclaw.json", by: "--dev"},
		{name: "variable", env: "OPENCLAW_PROFILE=work", config: "/h/.openclaw/openclaw.json", by: "default"},
		{name: "home", env: "OPENCLAW_HOME=/x", config: "/x/.openclaw/openclaw.json", by: "OPENCLAW_HOME"},
		{name: "~ in it", env: "OPENCLAW_HOME=~/x", config: "/h/x/.openclaw/openclaw.json", by: "OPENCLAW_HOME"},
		{name: "relative", env: "OPENCLAW_HOME=x", config: "/w/x/.openclaw/openclaw.json", by: "OPENCLAW_HOME"},
		{name: "a script's word", env: "OPENCLAW_HOME=undefined", config: "/h/.openclaw/openclaw.json", by: "default"},
		{
			name: "home and profile", env: "OPENCLAW_HOME=/x", args: "--profile work",
			config: "/x/.openclaw-work/openclaw.json", by: "--profile work",
		},
		{name: "state", env: "OPENCLAW_STATE_DIR=/s", config: "/s/openclaw.json", by: "OPENCLAW_STATE_DIR"},
		{
			name: "~ of the other home", env: "OPENCLAW_HOME=/x OPENCLAW_STATE_DIR=~/s", config: "/x/s/openclaw.json",
			by: "OPENCLAW_STATE_DIR",
		},
		{
			name: "state beats profile", env: "OPENCLAW_STATE_DIR=/s", args: "--profile work", config: "/s/openclaw.json",
			by: "OPENCLAW_STATE_DIR",
		},
		{
			name: "state, and a default that is there", env: "OPENCLAW_STATE_DIR=/s", files: "/h/.openclaw/openclaw.json",
			config: "/s/openclaw.json", by: "OPENCLAW_STATE_DIR",
		},
		{
			name: "profile beats the default's state", env: "OPENCLAW_STATE_DIR=/h/.openclaw", args: "--profile work",
			config: "/h/.openclaw-work/openclaw.json", by: "--profile work",
		},
		{
			name: "profile beats that of the environment", env: "OPENCLAW_PROFILE=work OPENCLAW_STATE_DIR=/h/.openclaw-work",
			args: "--profile other", config: "/h/.openclaw-other/openclaw.json", by: "--profile other",
		},
		{
			name: "config", env: "OPENCLAW_CONFIG_PATH=/c.json", config: "/c.json", state: "/h/.openclaw",
			by: "OPENCLAW_CONFIG_PATH",
		},
		{
			name: "config beats profile", env: "OPENCLAW_CONFIG_PATH=/c.json", args: "--profile work", config: "/c.json",
			state: "/h/.openclaw-work", by: "OPENCLAW_CONFIG_PATH",
		},
		{
			name: "profile beats the default's config", env: "OPENCLAW_CONFIG_PATH=/h/.openclaw/openclaw.json",
			args: "--profile work", config: "/h/.openclaw-work/openclaw.json", by: "--profile work",
		},
		{
			name: "config, state and profile", env: "OPENCLAW_STATE_DIR=/s OPENCLAW_CONFIG_PATH=/h/.openclaw/openclaw.json",
			args: "--profile work", config: "/h/.openclaw/openclaw.json", state: "/s", by: "OPENCLAW_CONFIG_PATH",
		},
		{name: "before OpenClaw", files: "/h/.clawdbot/clawdbot.json", config: "/h/.clawdbot/clawdbot.json", by: "default"},
		{
			name: "the new name in it", files: "/h/.clawdbot/openclaw.json",
			config: "/h/.clawdbot/openclaw.json", by: "default",
		},
		{name: "the old name", files: "/h/.openclaw/clawdbot.json", config: "/h/.openclaw/clawdbot.json", by: "default"},
		{
			name: "both directories", files: "/h/.clawdbot/clawdbot.json /h/.openclaw/x", config: "/h/.clawdbot/clawdbot.json",
			state: "/h/.openclaw", by: "default",
		},
		{
			name: ".env says config", dotenv: "OPENCLAW_CONFIG_PATH=/d.json", config: "/d.json", state: "/h/.openclaw",
			by: "OPENCLAW_CONFIG_PATH in /h/.openclaw/.env",
		},
		{
			name: ".env says state", dotenv: "export OPENCLAW_STATE_DIR='/d' # x", config: "/d/openclaw.json",
			by: "OPENCLAW_STATE_DIR in /h/.openclaw/.env",
		},
		{
			name: "the environment beats .env", env: "OPENCLAW_STATE_DIR=/s", dotenv: "OPENCLAW_STATE_DIR=/d",
			config: "/s/openclaw.json", by: "OPENCLAW_STATE_DIR",
		},
	} {
		t.Run(r.name, func(t *testing.T) {
			env := map[string]string{"HOME": "/h"}
			for kv := range strings.FieldsSeq(r.env) {
				k, v, _ := strings.Cut(kv, "=")
				env[k] = v
			}
			files := strings.Fields(r.files)
			got := gatewayplace.Find(gatewayplace.Query{
				Env: env, Args: strings.Fields(r.args), Cwd: "/w",
				Exists: func(path string) bool {
					return slices.ContainsFunc(files, func(f string) bool { return f == path || strings.HasPrefix(f, path+"/") })
				},
				Read: func(path string) ([]byte, error) {
					if r.dotenv == "" || path != "/h/.openclaw/.env" {
						return nil, fs.ErrNotExist
					}
					return []byte("# x\n" + r.dotenv + "\n"), nil
				},
			})
			state := r.state
			if state == "" {
				state = r.config[:strings.LastIndexByte(r.config, '/')]
			}
			if got.ConfigPath != r.config || got.StateDir != state || got.By != r.by {
				t.Errorf("got %+v, want %s and %s by %s", got, r.config, state, r.by)
			}
		})
	}
}

func TestKeysOfTheHostBeatVariables(t *testing.T) {
	got := gatewayplace.Find(gatewayplace.Query{
		StateDir: "/keys/state", ConfigPath: "/keys/c.json", Args: []string{"--profile", "work"},
		Env: map[string]string{"HOME": "/h", "OPENCLAW_STATE_DIR": "/s", "OPENCLAW_CONFIG_PATH": "/c.json"},
	})
	if got.StateDir != "/keys/state" || got.ConfigPath != "/keys/c.json" || got.By != "launch.config_path" {
		t.Errorf("%+v", got)
	}
	got = gatewayplace.Find(gatewayplace.Query{Home: "/u", StateDir: "/keys/state"})
	if got.ConfigPath != "/keys/state/openclaw.json" || got.By != "launch.state_dir" {
		t.Errorf("%+v", got)
	}
	if got = gatewayplace.Find(gatewayplace.Query{}); got.ConfigPath != "" || got.StateDir != "" || got.By != "" {
		t.Errorf("without a home: %+v", got)
	}
}

func TestRootsOfIncludesAndOtherVariablesAreRead(t *testing.T) {
	got := gatewayplace.Find(gatewayplace.Query{
		Env:    map[string]string{"HOME": "/h", "OPENCLAW_INCLUDE_ROOTS": "/etc/oc: ~/more"},
		Exists: func(string) bool { return true },
		Read: func(string) ([]byte, error) {
			return []byte("\ufeffOPENCLAW_GATEWAY_PASSWORD=\"pass # word\"\r\n=x\nnothing\n"), nil
		},
	})
	if !slices.Equal(got.Roots, []string{"/etc/oc", "/h/more"}) ||
		got.Variable("OPENCLAW_GATEWAY_PASSWORD") != "pass # word" {
		t.Errorf("%+v", got)
	}
}

func TestWhetherAPlaceIsChosen(t *testing.T) {
	for _, r := range []struct {
		env  map[string]string
		args []string
		want bool
	}{
		{nil, nil, false},
		{map[string]string{"OPENCLAW_CONFIG_PATH": "/c"}, []string{"gateway", "--dev"}, false},
		{map[string]string{"OPENCLAW_HOME": " "}, nil, false},
		{map[string]string{"OPENCLAW_HOME": "/x"}, nil, true},
		{map[string]string{"OPENCLAW_STATE_DIR": "/x"}, nil, true},
		{nil, []string{"--profile", "work"}, true},
		{nil, []string{"--dev", "gateway"}, true},
	} {
		if got := gatewayplace.Chosen(r.env, r.args); got != r.want {
			t.Errorf("%v %v: %v", r.env, r.args, got)
		}
	}
}
