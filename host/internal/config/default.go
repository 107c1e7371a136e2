package config

import "time"

// DefaultPort is OpenClaw's default port (B003).
const DefaultPort = 18789

// Default returns the configuration without a file: one gateway "main" on DefaultPort, `openclaw` from PATH. It
// fails only when the platform does not say where to store state.
func Default() (*Config, error) {
	c := defaults()
	c.fill()
	c.Gateways["main"].Token.Generate = true
	if faults := c.resolve("", ""); len(faults) > 0 {
		return nil, faults
	}
	return c, nil
}

// defaults returns the values before a file is read; it has no plugins and no gateways.
func defaults() *Config {
	return &Config{
		Version: SupportedVersion,
		Host:    Host{StartParallel: 4},
		Log:     Log{Level: "info", Format: "text"},
		Journal: Journal{MaxSize: 32 << 20, MaxFiles: 8, MaxRate: 16 << 20},
		Metrics: Metrics{Enabled: true},
		Plugins: map[string]*Plugin{}, Gateways: map[string]*Gateway{},
	}
}

// fill adds the default gateway and the shipped plugins that need no table.
func (c *Config) fill() {
	if len(c.Gateways) == 0 {
		c.Gateways["main"] = newGateway("main")
	}
	builtin := map[string]string{
		"utility": "launcher-utility", "launchd": "launcher-launchd", "doctor": "doctor",
		"doctor-environment": "doctor-environment",
	}
	for _, name := range c.UsedPlugins() {
		if file, ok := builtin[name]; ok && c.Plugins[name] == nil {
			c.Plugins[name] = newPlugin(name)
			c.Plugins[name].Path = file
		}
	}
}

// DefaultStartTimeout is the default of plugins.NAME.start_timeout.
const DefaultStartTimeout = 20 * time.Second

func newPlugin(name string) *Plugin {
	return &Plugin{
		Name: name, StartTimeout: DefaultStartTimeout,
		Sandbox: Sandbox{Mode: SandboxAuto, OpenFiles: 1024, FileSize: 1 << 30},
	}
}

func newGateway(name string) *Gateway {
	return &Gateway{
		Name: name, Port: DefaultPort, Autostart: true,
		Launcher: "utility", Doctors: []string{"doctor-environment", "doctor"}, Classifiers: []string{"doctor"},
		Token: Token{Align: AlignFill}, UnloadRestore: "never",
		OnConflict: "attach", TrustPeer: "own", OnHostExit: "stop", OnShimLoss: "restart", OrphanGrace: 24 * time.Hour,
		Launch: Launch{
			Profile: "openclaw", Command: []string{"openclaw"}, Grace: 30 * time.Second,
			OutputMaxSize: 8 << 20,
		},
		Ready: Ready{NoProgress: 90 * time.Second, Timeout: 8 * time.Minute, Interval: 200 * time.Millisecond},
		Reconnect: Reconnect{
			Base: time.Second, Max: 30 * time.Second, Attempts: 10, StableAfter: time.Minute, AfterCap: "slow",
			SlowInterval: 5 * time.Minute, Jitter: 0.1,
		},
		Liveness: Liveness{
			Ping: 30 * time.Second, PongTimeout: 15 * time.Second, Silence: 180 * time.Second,
			VerifyMethod: "system-presence", VerifyTimeout: 5 * time.Second,
		},
		Restart: Restart{
			Cooldown: 2500 * time.Millisecond, Debounce: 2 * time.Second, ReloadDebounce: 1200 * time.Millisecond,
			ReloadSettle: 5 * time.Second, ReloadMinAge: 8 * time.Second,
		},
		Repair: Repair{Mode: "auto", Restore: "none", EvidenceSandbox: SandboxAuto},
	}
}
